-- Is the session that a token rests on still active? Read by forward-auth, which no limit counts.
--
-- uses: session_state
-- args: jti session_id idle_ms:int
-- Replies {active, generation, nonce, client}
--
-- Sessions, links and limits have scripts of their own, since gateways ask this for every request: with all in one it
-- cost twice the CPU.

local session = active_session(jti, session_id, idle_ms)
if not session then return {} end
return {'active', '1', 'generation', session.generation, 'nonce', session.nonce, 'client', session.client}
