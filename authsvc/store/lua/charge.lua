-- Count one act against limits that guard nothing else in this slot.
--   limits; audit limited (may be absent)
-- Returns {} | err: rate-limited

local refused = take(a.limits)
if refused then return refused end
return answer({})
