-- Mails are counted where they are queued, so that no queue can grow faster than the budgets. There are two: the practice's
-- own, and its share of what the whole site may send, so that no practice can use up what the others need. Mails go in three
-- lanes: `bulk` (links, notices: what a client may cause at will) stops first, then `typed` (sign-ins that begin with a typed
-- address, codes for a new address), and `code` last: a part that nothing else can use.
-- `site_throttle` is the state of the whole site by the worker's count, read by the caller. A practice that has used little
-- of its own quota isn't stopped by what others have used.
-- mail-count  "<own> <share>": GCRA's theoretical arrival times, ms
-- uses: limits outbox

local THROTTLE_WAIT_MS = 60000
local FAIR_SHARE = 0.1  -- of a practice's own quota, which the site's throttle doesn't touch
local BULK_OF_TYPED = 0.9

local mail_budgets = {
  {policy = 'mails-practice', quota = tonumber(mails_practice_quota), window = mails_practice_window_s * 1000},
  {policy = 'mails-share', quota = math.floor(mails_all_quota * practice_share), window = mails_all_window_s * 1000},
}
for _, budget in ipairs(mail_budgets) do
  budget.step = math.max(1, math.floor(budget.window / math.max(1, budget.quota)))
end
local mails_read = false

-- How much of each budget is used, ms; read once.
local function read_mail_budgets()
  if mails_read then return end
  local own, share = string.match(get(KEYS[1] .. 'mail-count') or '', '^(%d+) ?(%d*)')
  for at, arrival in ipairs({tonumber(own) or 0, tonumber(share) or 0}) do
    mail_budgets[at].used = math.min(math.max(arrival - now, 0), mail_budgets[at].window)
  end
  mails_read = true
end

local function stops(throttle, lane)
  return throttle == 'all' or (throttle == 'typed' and lane ~= 'code') or (throttle == 'bulk' and lane == 'bulk')
end

-- The budget that stops a mail of this lane now, and for how long (ms); nil: none does.
local function throttled_by(lane)
  read_mail_budgets()
  local part = lane == 'code' and 1 or lane == 'typed' and tonumber(typed_share) or BULK_OF_TYPED * typed_share
  for _, budget in ipairs(mail_budgets) do
    local missing = budget.used + budget.step - part * budget.window
    if missing > 0 then return budget, missing end
  end
  if stops(site_throttle, lane) and mail_budgets[1].used >= FAIR_SHARE * mail_budgets[1].window then
    return {policy = 'mails-all', quota = mails_all_quota, window = mails_all_window_s * 1000}, THROTTLE_WAIT_MS
  end
end

-- nil, or the refusal of a call that would queue a mail.
local function throttled(lane)
  local budget, wait = throttled_by(lane)
  if budget then return refuse_limited(budget.policy, math.ceil(wait), budget.quota, budget.window / 1000) end
end

-- Queue a mail and count it. One to nobody is counted as none, with the same commands.
local function queue_mail(queue, message)
  read_mail_budgets()
  local arrivals, longest = {}, 0
  for at, budget in ipairs(mail_budgets) do
    if message.nobody ~= '1' then budget.used = math.min(budget.used + budget.step, budget.window) end
    arrivals[at], longest = int(now + budget.used), math.max(longest, budget.used)
  end
  call('SET', KEYS[1] .. 'mail-count', table.concat(arrivals, ' '), 'PX', int(longest + SLACK_MS))
  enqueue_mail(queue, message)
end
