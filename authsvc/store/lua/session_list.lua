-- The live sessions of a patient, those in which it acts for a dependent included.
--
-- uses: limits session_records patients
-- events: limited
-- reads: sessions
-- args: patient idle_ms:int limits*5
-- Replies {sessions = {session, …}} | err: rate-limited, patient-not-found

local refused = charge(limits)
if refused then return refused end
local known = read_patient(resolve(patient))
if not known then return refuse('patient-not-found') end
local found = {}
for _, item in ipairs(items(known.sessions)) do
  local session = read_session(string.match(item, '^[^.]+'))
  if is_alive(session, idle_ms) then found[#found + 1] = session_reply(session) end
end
return reply({sessions = found})
