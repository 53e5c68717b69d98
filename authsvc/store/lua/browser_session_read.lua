-- The session that a browser's cookie names. Changes nothing, so that looking keeps nobody signed in.
--
-- uses: session_records patients
-- args: session_id secret idle_ms:int
-- `secret` is the digest of the cookie's.
-- Replies {session, label (sealed), and of whoever proved the mailbox address (sealed) and locale} or {}

local session = read_session(session_id)
if not session or session.client ~= '' or session.nonce ~= secret or not is_alive(session, idle_ms) then
  return reply({})
end
local patient = read_patient(session.patient)
local holder = session.guardian ~= '' and read_patient(session.guardian) or patient
if not patient then return reply({}) end
return reply({session = session_reply(session), label = patient.label, address = holder.address,
  locale = holder.locale})
