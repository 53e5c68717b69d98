-- Count one act against limits that guard nothing else in this slot.
--   limits; audit limited, refused (what is counted, where that is worth an entry); may be absent
-- Returns {} | err: rate-limited

local refused = take(a.limits)
if refused then return refused end
if a.audit and a.audit.refused then record(a.audit.refused) end
return answer({})
