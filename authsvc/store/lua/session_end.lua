-- End one session (sid) or all sessions of a patient but one (keep); `client`, where given, must be the session's own.
--   sid | patient; client, patient (id the session must belong to), keep, reason; limits; audit session_ended, limited
--
-- What a client gives back is its own session alone. Whoever ends a patient's session by its id means the sign-in that
-- it came from: else the browser would simply open the next.
-- Returns {ended = n} | err: rate-limited, patient-not-found

local refused = take(a.limits or {})
if refused then return refused end
if a.patient and not patient_of(resolve(a.patient)) then return answer({err = 'patient-not-found'}) end
if not a.sid then return reply({ended = end_sessions(resolve(a.patient), a.reason, a.keep)}) end
local s = hash(key('session', a.sid))
if not s.p or (a.client and s.c ~= a.client) or (a.patient and s.p ~= resolve(a.patient)) then
  return reply({ended = 0})
end
end_session(a.patient and s.v or a.sid, s.p, a.reason, a.client)
return reply({ended = 1})
