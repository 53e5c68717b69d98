-- session:<sid>  record. `client` is empty for the browser's session at the hosted pages; `channel` carried the proof
--                (amr), `opened` is auth_time, `generation` counts refreshes and `generation_at` is when the present one
--                began, `nonce` is the digest of the session's nonce (of a browser session: of its cookie's secret),
--                `parent` is the browser session that a client's session was opened from, `notify` is 1 where the client
--                wants a logout token, `children` lists the sids of the client sessions of a browser session, `jkt` is the
--                thumbprint of the DPoP key of a public client, `guardian` is the patient who acts for `patient`
--                (empty: nobody does)
-- scopes:<id>    the scope string that a session's scope "@<id>" stands for: all that a code sign-in grants

local SESSION = fields{'patient', 'client', 'audience', 'channel', 'opened', 'used', 'generation', 'generation_at', 'nonce',
  'expires', 'scope', 'parent', 'notify', 'children', 'jkt', 'guardian'}

local function read_session(sid)
  local session = read(SESSION, key('session', sid))
  if session then session.sid = sid end
  return session
end

local function write_session(session)
  write(SESSION, key('session', session.sid), session, tonumber(session.expires))
end

-- As it is replied: `text` is what was written, if it was.
local function session_reply(session, text)
  return (text or SESSION.pack(session)) .. '\n' .. session.sid
end

-- The patient whose mailbox was proven for this session.
local function person(session)
  return session.guardian ~= '' and session.guardian or session.patient
end

local function is_alive(session, idle_ms)
  return session and now < tonumber(session.expires) and now - tonumber(session.used) <= idle_ms
end
