-- Does what a token rests on still stand? Read by introspection and forward-auth.
--   jti; sid or link; idle_ms; limits (may be empty)
-- Returns {live = bool, generation}

local refused = take(a.limits or {})
if refused then return refused end
if call('EXISTS', key('revoked', a.jti)) == 1 then return answer({live = false}) end
if a.sid then
  local s = hash(key('session', a.sid))
  return answer({live = alive(s, a.idle_ms) and true or false, generation = s.g, nonce = s.n, client = s.c})
end
local l = hash(key('link', a.link))
-- An expired or used-up link takes nothing back from the tokens it gave; these live for minutes at most.
local dead = l.d and why_dead(l)
return answer({live = l.d ~= nil and (not dead or dead == 'expired' or dead == 'used_up')})
