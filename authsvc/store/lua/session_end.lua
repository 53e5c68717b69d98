-- End one session (sid) or all sessions of a patient; `client`, where given, must be the session's own.
--   sid | patient; client, patient_of (id the session must belong to), reason; limits; audit session_ended, limited
-- Returns {ended = n} | err: rate-limited, patient-not-found

local refused = take(a.limits or {})
if refused then return refused end
if a.patient and not patient_of(resolve(a.patient)) then return answer({err = 'patient-not-found'}) end
if not a.sid then return reply({ended = end_sessions(resolve(a.patient), a.reason)}) end
local s = hash(key('session', a.sid))
if not s.p or (a.client and s.c ~= a.client) or (a.patient and s.p ~= resolve(a.patient)) then
  return reply({ended = 0})
end
end_session(a.sid, s.p, a.reason)
return reply({ended = 1})
