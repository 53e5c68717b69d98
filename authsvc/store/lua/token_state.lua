-- Is what a token rests on still active? Read by introspection and forward-auth.
--
-- uses: limits session_records link_records
-- events: limited
-- args: jti session_id link_id idle_ms:int limits*5
-- `limits` may be empty. An expired or used-up link takes nothing back from the tokens that it gave.
-- Replies {active, generation, nonce, client}

local refused = charge(limits)
if refused then return refused end
if call('EXISTS', key('revoked', jti)) == 1 then return reply({}) end
if session_id ~= '' then
  local session = read_session(session_id)
  if not is_alive(session, idle_ms) then return reply({}) end
  return reply({active = true, generation = session.generation, nonce = session.nonce, client = session.client})
end
local link = read_link(link_id)
return reply({active = link and not is_revoked(link)})
