-- Give a client an authorization code: for the browser's sign-in, or for the link that it has pressed (RFC 6749 §4.1.2).
--
--   limits; code (digest), client, redirect, challenge (PKCE), nonce, scope, until (ms)
--   max_age_ms (absent: any age), patient (absent: whoever it is)
--   sid, secret (digest of the cookie's), idle_ms; or landing (digest of the hint), browser (digest)
--   audit issued, limited
-- Returns {} | err: rate-limited, sign-in-needed (reason: none, other_patient, max_age), link-gone (reason)
--
-- grant:<digest of the code> hash: c client, r redirect address, h PKCE challenge, n nonce, s scope, e expires, and of a
-- sign-in v its sid, of a link l, p, w, x (resource), ch, o when it was pressed; once redeemed st: the sid or the jti
-- that it gave

-- Counted is what gives a code. Who has nothing to show isn't: any website can send a visitor's browser here, without
-- our cookies, as often as it likes, and would use up what that network has for links.
local function needed(reason)
  return answer({err = 'sign-in-needed', reason = reason})
end

local g = {c = a.client, r = a.redirect, h = a.challenge, n = a.nonce, s = a.scope, e = a['until'], st = ''}
local patient
if a.landing then
  local k = key('landing', a.landing)
  local d = hash(k)
  if d.b ~= a.browser or d.c ~= a.client or tonumber(d.e) <= now then return needed('none') end
  local l = hash(key('link', d.l))
  local dead = why_dead(l)
  -- The press was its use: that time or uses have run out since then takes nothing back.
  if dead and dead ~= 'expired' and dead ~= 'used_up' then return answer({err = 'link-gone', reason = dead}) end
  if a.patient and resolve(a.patient) ~= resolve(d.p) then return needed('other_patient') end
  if a.max_age_ms and now - tonumber(d.o) > a.max_age_ms then return needed('max_age') end
  local refused = take(a.limits)
  if refused then return refused end
  call('DEL', k)
  g.l, g.p, g.w, g.x, g.ch, g.o = d.l, resolve(d.p), d.w, d.r, d.ch, d.o
  patient = g.p
else
  local k = key('session', a.sid)
  local s = hash(k)
  if s.c ~= '' or s.n ~= a.secret or not alive(s, a.idle_ms) then return needed('none') end
  if a.patient and resolve(a.patient) ~= s.p then return needed('other_patient') end
  if a.max_age_ms and now - tonumber(s.o) > a.max_age_ms then return needed('max_age') end
  local refused = take(a.limits)
  if refused then return refused end
  call('HSET', k, 'l', int(now))
  g.v, patient = a.sid, s.p
end
write_hash(key('grant', a.code), g)
keep_until(key('grant', a.code), g.e + ACT_TTL_MS * 10)  -- long enough to know a stolen code that comes late
record(a.audit.issued, {patient = patient, sid = g.v, link = g.l})
return reply({})
