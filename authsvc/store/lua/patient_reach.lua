-- Where a patient can be reached, and in which language. Changes nothing.
--   patient
-- Returns {locale ('' for none, or for one who isn't on file), patient, to (sealed address)}; the last two only where
-- a code could be sent

local p = patient_of(resolve(a.patient))
local reachable = p and p.access == '1'
return answer({locale = p and p.locale or '', patient = reachable and p.id or nil, to = reachable and p.to or nil})
