-- Is the session that a token rests on still active? Read by introspection.
--
-- uses: limits session_state
-- events: limited
-- seldom: refuse_by
-- args: jti session_id idle_ms:int limits*5
-- Replies {active, generation, nonce, client} | err: rate-limited

local refused = charge(limits)
if refused then return refused end
local session = active_session(jti, session_id, idle_ms)
if not session then return reply({}) end
return reply({active = true, generation = session.generation, nonce = session.nonce, client = session.client})
