-- The worker counts mails; what it found is read here before more are queued. `typed` stops sign-ins that begin with a
-- typed address, `all` stops every mail. `site_throttle` is the state of the whole site, read by the caller.
-- uses: limits

local THROTTLE_WAIT_MS = 60000

-- The policy that stops a mail now, or nil.
local function throttled_by(typed)
  local here = call('GET', KEYS[1] .. 'mail-throttle') or ''
  if here == 'all' or (here == 'typed' and typed) then return 'mails-practice' end
  if site_throttle == 'all' or (site_throttle == 'typed' and typed) then return 'mails-all' end
end

-- nil, or the refusal of a call that would queue a mail.
local function throttled(typed)
  local policy = throttled_by(typed)
  if policy == 'mails-practice' then
    return refuse_limited(policy, THROTTLE_WAIT_MS, mails_practice_quota, mails_practice_window_s)
  elseif policy then
    return refuse_limited(policy, THROTTLE_WAIT_MS, mails_all_quota, mails_all_window_s)
  end
end
