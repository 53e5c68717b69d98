-- Exchange a refresh token: a new generation, or for a short while the same successor for the immediate parent again.
--
-- uses: limits sessions unconfirmed
-- unconfirmed: refresh session_id client generation now
-- seldom: refuse_by refuse end_session take_unconfirmed
-- events: session.refreshed session.reused session.refused session.ended limited
-- args: session_id client generation:int nonce jkt idle_ms:int grace_ms:int delivery_ms limits*5 scope*1
--
-- Anything older than the parent, or the parent after the grace, is a copied token: the whole family ends
-- (RFC 9700 §4.14.2). `scope` lists the names asked for; empty: all.
-- Replies {session} | err: rate-limited, invalid-refresh-token (reason), invalid-scope (nothing was used up)

fetch_with(limits, {key('session', session_id)})
local refused = charge(limits)
if refused then return refused end
local session = read_session(session_id)

local function no(reason)
  record('session.refused', 'reason', reason, 'sid', session_id, 'patient', session and session.patient,
    'guardian', session and session.guardian)
  return refuse('invalid-refresh-token', reason)
end

if not session then return no('unknown') end
if session.client ~= client then return no('other_client') end
if session.nonce ~= nonce then return no('unknown') end
if (session.jkt or '') ~= '' and session.jkt ~= jkt then return no('dpop') end  -- bound to a key (RFC 9449 §5)
if not is_alive(session, idle_ms) then return no('expired') end
if #scope > 0 then
  local granted = session.scope
  if string.sub(granted, 1, 1) == '@' then granted = call('GET', key('scopes', string.sub(granted, 2))) or '' end
  for _, name in ipairs(scope) do
    if not string.find(' ' .. granted .. ' ', ' ' .. name[1] .. ' ', 1, true) then return refuse('invalid-scope') end
  end
end

local function begin_generation(number)
  session.generation, session.generation_at, session.used = number, now_text, now_text
  local text = rewrite(SESSION, key('session', session_id), session)
  local parent = session.parent ~= '' and read_session(session.parent)
  if parent then  -- a browser session is in use as long as one of its clients is
    parent.used = now_text
    rewrite(SESSION, key('session', parent.sid), parent)
  end
  return text
end

local present, written = tonumber(session.generation), nil
if generation == present then
  local number = int(present + 1)
  written = begin_generation(number)
  record('session.refreshed', 'sid', session_id, 'patient', session.patient, 'guardian', session.guardian,
    'generation', number)
elseif generation == present - 1 and take_unconfirmed(session.used) then
  -- The parent again, whose successor nobody was told of. An instant does for an id here: whoever was answered since then
  -- has moved `used` on.
  written = begin_generation(session.generation)
elseif generation == present - 1 and now - tonumber(session.generation_at) <= grace_ms then
  session.used = now_text
  written = rewrite(SESSION, key('session', session_id), session)
else
  end_session(session, 'reused')
  record('session.reused', 'sid', session_id, 'patient', session.patient, 'guardian', session.guardian,
    'generation', generation, 'newest', present)
  return refuse('invalid-refresh-token', 'reused')
end
return reply({session = session_reply(session, written)})
