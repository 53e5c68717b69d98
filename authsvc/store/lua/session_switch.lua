-- Go on as somebody else without another mail: as the person whose mailbox was proven, or as one of its dependents.
--
-- uses: retries limits sessions unconfirmed
-- unconfirmed: switch old_sid client owner secret patient call_id
-- events: session.switched session.ended limited
-- args: old_sid owner client secret patient idle_ms:int absolute_ms:int delivery_ms
-- args: session_id session_nonce session_audience session_scope session_scope_text session_expires:int
-- args: former_sid former_secret limits*5 acting_scopes*2
--
-- A client names its own session and a patient of it (`owner`), a browser its session's `secret` (a digest).
-- The proof is that of the old session: its instant and its absolute end stay.
--
-- switched:<old sid>  "<new sid>|<call id>" for ten minutes: what a repeat after an answer of 503 gets
-- Replies {session} | err: rate-limited, session-not-found, session-of-browser, code-needed, not-choosable

local refused = charge(limits)
if refused then return refused end
local SWITCHED_MS = '600000'
local old = read_session(old_sid)

local function remember(sid)
  call('SET', key('switched', old_sid), sid .. '|' .. call_id, 'PX', SWITCHED_MS)
end

-- The session that this very call has opened before, when its caller was answered 503. Its nonce is this call's: nobody
-- was told the other one.
local function unconfirmed_session()
  local sid, id = string.match(call('GET', key('switched', old_sid)) or '', '^([^|]*)|(.*)$')
  local session = take_unconfirmed(id) and begin_anew(sid)
  if not session then return nil end
  session.nonce = session_nonce
  rewrite(SESSION, key('session', sid), session)
  remember(sid)
  return session
end

if not old then
  local session = unconfirmed_session()
  if not session then return refuse('session-not-found') end
  if now - tonumber(session.opened) > idle_ms then return refuse('code-needed') end
  return reply_once({session = session_reply(session)})
end
local owned = old.client == client and is_alive(old, idle_ms)
if owned and client == '' then
  owned = old.nonce == secret
elseif owned then
  owner = resolve(owner)
  owned = owner == old.patient or owner == old.guardian
end
if not owned then return refuse('session-not-found') end
if old.parent ~= '' then return refuse('session-of-browser') end
local opened = tonumber(old.opened)
if now - opened > idle_ms then return refuse('code-needed') end
local chosen = choice_of(choices_of({read_patient(person(old))}), resolve(patient))
if not chosen then return refuse('not-choosable') end
session_expires = math.min(session_expires, opened + absolute_ms)
local session = open_session(chosen, old.channel, opened)
record('session.switched', 'patient', session.patient, 'guardian', session.guardian, 'sid', session.sid,
  'former', old_sid)
end_session(read_session(old_sid) or old, 'switched')
remember(session.sid)
return reply_once({session = session_reply(session)})
