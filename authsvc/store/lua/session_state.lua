-- Is the session that a token rests on still active? Read by forward-auth, which no limit counts.
--
-- uses: session_state
-- args: jti session_id idle_ms:int
-- Replies {active, generation, nonce, client}
--
-- Sessions, links and limits have scripts of their own, since gateways ask this for every request: with all in one it
-- cost twice the CPU.

return session_state(jti, session_id, idle_ms)
