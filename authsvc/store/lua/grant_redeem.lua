-- Redeem an authorization code, once: a client session under the browser's sign-in, or what a link gives.
--
--   limits; code (digest), client, redirect, challenge (S256 of the verifier); idle_ms
--   session {id, nonce (digest), aud, tell (whether the client wants to be told of its end)}; jti of the token that a
--   link would give, token_until (ms)
--   audit redeemed, reused, refused, session_ended, limited
-- Returns {session, nonce, scope} | {link = {id, p, w, r, ch, o}, nonce, scope}
--   | err: rate-limited, invalid-authorization-code (reason)
--
-- A second use means that somebody copied the code: what the first one gave ends (RFC 6749 §4.1.2). A wrong verifier,
-- address or client doesn't spend it, so that a thief can't spoil what he can't use.

-- A client that sends its patients round again for each page leaves sessions behind, and all of them end in one script.
-- So many of a client's under one sign-in are kept; then the one goes that was used longest ago.
local SIBLINGS_MAX = 20

local refused = take(a.limits)
if refused then return refused end
local k = key('grant', a.code)
local g = hash(k)

local function no(reason)
  record(a.audit.refused, {reason = reason, sid = g.v, link = g.l})
  return reply({err = 'invalid-authorization-code', reason = reason})
end

if not g.c then return no('unknown') end
if g.c ~= a.client then return no('other_client') end
if g.h ~= a.challenge then return no('pkce') end
if g.r ~= a.redirect then return no('redirect') end
if g.st ~= '' then
  local s = hash(key('session', g.st))
  if s.p then end_session(g.st, s.p, 'reused') end
  if g.l and call('SET', key('revoked', g.st), '1', 'NX', 'PX', int(math.max(a.token_until - now, 1) + SLACK_MS)) then
    feed('t', g.st)  -- once: who sends the same code again and again doesn't fill the feed
  end
  record(a.audit.reused, {sid = g.v and g.st, jti = g.l and g.st})
  return reply({err = 'invalid-authorization-code', reason = 'reused'})
end
if tonumber(g.e) <= now then return no('expired') end

if g.l then
  local dead = why_dead(hash(key('link', g.l)))
  if dead and dead ~= 'expired' and dead ~= 'used_up' then return no('revoked') end
  local patient = resolve(g.p)
  call('HSET', k, 'st', a.jti)
  record(a.audit.redeemed, {patient = patient, link = g.l})
  return reply({link = {id = g.l, p = patient, w = g.w, r = g.x, ch = g.ch, o = g.o}, nonce = g.n, scope = g.s})
end

local function make_room(index, patient)
  local kept, oldest, used = 0, nil, nil
  local children = call('SMEMBERS', index)
  table.sort(children)
  for _, child in ipairs(children) do
    local s = call('HMGET', key('session', child), 'c', 'l')
    if s[1] == a.client then
      kept = kept + 1
      if not oldest or tonumber(s[2]) < used then oldest, used = child, tonumber(s[2]) end
    end
  end
  if kept >= SIBLINGS_MAX then end_session(oldest, patient, 'too_many') end
end

local parent = hash(key('session', g.v))
if not alive(parent, a.idle_ms) then return no('ended') end
make_room(key('children', g.v), parent.p)
call('HSET', k, 'st', a.session.id)
call('HSET', key('session', g.v), 'l', int(now))  -- else it could end before what is opened here, and be woken by that
local s = keep_session(a.session.id, {p = parent.p, c = a.client, a = a.session.aud, m = parent.m,
  o = tonumber(parent.o), l = now, g = 0, gm = now, n = a.session.nonce, e = tonumber(parent.e), s = g.s, v = g.v,
  b = a.session.tell and '1' or nil})
call('SADD', key('children', g.v), s.id)
keep_until(key('children', g.v), tonumber(s.e))
record(a.audit.redeemed, {patient = s.p, sid = s.id})
return reply({session = s, nonce = g.n, scope = g.s})
