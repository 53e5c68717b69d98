-- The patient is still there: the idle time begins anew. The absolute end stays.
--
-- uses: limits session_records audit
-- events: session.extended limited
-- args: session_id secret idle_ms:int limits*5
-- Replies {extended} | err: rate-limited

local refused = charge(limits)
if refused then return refused end
local session = read_session(session_id)
if not session or session.client ~= '' or session.nonce ~= secret or not is_alive(session, idle_ms) then
  return reply({})
end
session.used = now_text
rewrite(SESSION, key('session', session_id), session)
record('session.extended', 'sid', session_id, 'patient', session.patient, 'guardian', session.guardian)
return reply({extended = true})
