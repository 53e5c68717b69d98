-- Is the session that a token rests on still active? Read by introspection.
--
-- uses: limits session_state
-- events: limited
-- seldom: refuse_by
-- args: jti session_id idle_ms:int limits*5
-- Replies {active, generation, nonce, client} | err: rate-limited

local refused = charge(limits)
if refused then return refused end
return session_state(jti, session_id, idle_ms)
