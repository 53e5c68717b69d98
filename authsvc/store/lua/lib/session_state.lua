-- Whether a token, and the session that it rests on, is active.
-- uses: session_records

local function session_state(jti, session_id, idle_ms)
  fetch({key('revoked', jti), key('session', session_id)})
  if get(key('revoked', jti)) then return reply({}) end
  local session = read_session(session_id)
  if not is_alive(session, idle_ms) then return reply({}) end
  return reply({active = true, generation = session.generation, nonce = session.nonce, client = session.client})
end
