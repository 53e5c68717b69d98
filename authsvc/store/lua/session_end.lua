-- End one session (`session_id`), or all sessions of a patient but `keep`: those for it, and those in which it acts.
--
-- uses: retries limits sessions
-- events: session.ended limited
-- args: session_id patient client keep reason delivery_ms limits*5
--
-- `client` and `patient`, where given, must be the session's own; the guardian who acts in it may end it too. With a
-- `client` its session ends alone: given back by itself without `patient`, so that it needs no logout token. Who ends a
-- patient's session by its id means the browser session that it was opened from: else the browser would simply open the
-- next one.
-- Replies {ended, more (call again without limits: some are left)} | err: rate-limited, patient-not-found

local refused = charge(limits)
if refused then return refused end
local known
if patient ~= '' then
  patient = resolve(patient)
  known = read_patient(patient)
  if not known then return refuse('patient-not-found') end
end
if session_id == '' then
  local ended, more = end_sessions(known, reason, keep)
  return reply_once({ended = ended, more = more})
end
local session = read_session(session_id)
if not session or (client ~= '' and session.client ~= client)
  or (known and session.patient ~= patient and session.guardian ~= patient) then
  return reply_once({ended = 0})
end
if known and client == '' and session.parent ~= '' then session = read_session(session.parent) or session end
end_session(session, reason, not known and client ~= '' and client or nil)
return reply_once({ended = 1})
