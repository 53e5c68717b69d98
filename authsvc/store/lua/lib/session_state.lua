-- Whether a token, and the session that it rests on, is active.
-- uses: session_records

-- The session, or a false value.
local function active_session(jti, session_id, idle_ms)
  local kept = call('MGET', key('revoked', jti), key('session', session_id))
  local session = not kept[1] and kept[2] and SESSION.unpack(kept[2])
  return is_alive(session, idle_ms) and session
end
