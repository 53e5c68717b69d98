-- Mails are counted where they are queued, so that no queue can grow faster than the budgets. There are two: the practice's
-- own, and its share of what the whole site may send, so that no practice can use up what the others need. Mails go in three
-- lanes: `bulk` (links, notices: what a client may cause at will) stops first, then `typed` (sign-ins that begin with a typed
-- address, codes for a new address), and `code` last: a part that nothing else can use.
-- `site_throttle` is the state of the whole site by the worker's count, read by the caller. A practice that has used little
-- of its own quota isn't stopped by what others have used.
-- Of each budget the caller knows quota, window and what one mail takes of it (step), ms.
-- mail-count  "<own> <share>": GCRA's theoretical arrival times, ms
-- uses: limits outbox

local THROTTLE_WAIT_MS = 60000
local FAIR_SHARE = 0.1  -- of a practice's own quota, which the site's throttle doesn't touch
local BULK_OF_TYPED = 0.9

local own_used, share_used  -- of each budget, ms; read once

local function read_mail_budgets()
  if own_used then return end
  local own, share = string.match(get(KEYS[1] .. 'mail-count') or '', '^(%d+) ?(%d*)')
  own_used = math.min(math.max((tonumber(own) or 0) - now, 0), mails_own_window)
  share_used = math.min(math.max((tonumber(share) or 0) - now, 0), mails_share_window)
end

local function stops(throttle, lane)
  return throttle == 'all' or (throttle == 'typed' and lane ~= 'code') or (throttle == 'bulk' and lane == 'bulk')
end

-- The policy that stops a mail of this lane now, for how long (ms), its quota and its window (ms); nil: none does.
local function throttled_by(lane)
  read_mail_budgets()
  local part = lane == 'code' and 1 or lane == 'typed' and tonumber(typed_share) or BULK_OF_TYPED * typed_share
  local missing = own_used + mails_own_step - part * mails_own_window
  if missing > 0 then return 'mails-practice', missing, mails_own_quota, mails_own_window end
  missing = share_used + mails_share_step - part * mails_share_window
  if missing > 0 then return 'mails-share', missing, mails_share_quota, mails_share_window end
  if stops(site_throttle, lane) and own_used >= FAIR_SHARE * mails_own_window then
    return 'mails-all', THROTTLE_WAIT_MS, mails_all_quota, mails_share_window
  end
end

-- nil, or the refusal of a call that would queue a mail.
local function throttled(lane)
  local policy, wait, quota, window = throttled_by(lane)
  if policy then return refuse_limited(policy, math.ceil(wait), quota, window / 1000) end
end

-- Queue a mail and count it. One to nobody is counted as none, with the same commands.
local function queue_mail(queue, message)
  read_mail_budgets()
  if message.nobody ~= '1' then
    own_used = math.min(own_used + mails_own_step, mails_own_window)
    share_used = math.min(share_used + mails_share_step, mails_share_window)
  end
  call('SET', KEYS[1] .. 'mail-count', int(now + own_used) .. ' ' .. int(now + share_used), 'PX',
    int(math.max(own_used, share_used) + SLACK_MS))
  enqueue_mail(queue, message)
end
