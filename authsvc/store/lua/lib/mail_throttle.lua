-- The worker counts mails; what it found is read here before more are queued. Mails go in three lanes: `bulk` (links and
-- what a client may cause at will) stops first, then `typed` (sign-ins that begin with a typed address), and `code` last.
-- `site_throttle` is the state of the whole site, read by the caller. A practice that has used little of its own quota
-- isn't stopped by what others have used.
-- mail-throttle  bulk | typed | all
-- mail-count     theoretical arrival time of the practice's mails, ms
-- uses: limits

local THROTTLE_WAIT_MS = 60000
local FAIR_SHARE = 0.1  -- of a practice's own quota, which the site's throttle doesn't touch

local function stops(throttle, lane)
  return throttle == 'all' or (throttle == 'typed' and lane ~= 'code') or (throttle == 'bulk' and lane == 'bulk')
end

-- The policy that stops a mail of this lane now, or nil.
local function throttled_by(lane)
  if stops(call('GET', KEYS[1] .. 'mail-throttle'), lane) then return 'mails-practice' end
  if not stops(site_throttle, lane) then return nil end
  local used = tonumber(call('GET', KEYS[1] .. 'mail-count') or '0') - now
  return used >= FAIR_SHARE * tonumber(mails_practice_window_s) * 1000 and 'mails-all' or nil
end

-- nil, or the refusal of a call that would queue a mail.
local function throttled(lane)
  local policy = throttled_by(lane)
  if policy == 'mails-practice' then
    return refuse_limited(policy, THROTTLE_WAIT_MS, mails_practice_quota, mails_practice_window_s)
  elseif policy then
    return refuse_limited(policy, THROTTLE_WAIT_MS, mails_all_quota, mails_all_window_s)
  end
end
