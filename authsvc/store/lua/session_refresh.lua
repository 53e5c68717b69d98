-- Exchange a refresh token: a new generation, or for a short while the same successor for the immediate parent again.
--
--   limits; sid, client, generation, nonce (digest); scope (names asked for; absent: all); idle_ms, grace_ms
--   audit refreshed, reused, refused, limited
-- Returns {session} | err: rate-limited, invalid-refresh-token (reason), invalid-scope (nothing was used up)
--
-- Anything older than the parent, or the parent after the grace, is a copied token: the whole family ends
-- (RFC 9700 §4.14.2).

local refused = take(a.limits)
if refused then return refused end
local k = key('session', a.sid)
local s = hash(k)

local function no(reason)
  record(a.audit.refused, {reason = reason, sid = a.sid, patient = s.p})
  return reply({err = 'invalid-refresh-token', reason = reason})
end

if not s.p then return no('unknown') end
if s.c ~= a.client then return no('other_client') end
if s.n ~= a.nonce then return no('unknown') end
if not alive(s, a.idle_ms) then return no('expired') end
for _, name in ipairs(a.scope or {}) do
  if not string.find(' ' .. s.s .. ' ', ' ' .. name .. ' ', 1, true) then return answer({err = 'invalid-scope'}) end
end
local generation, began = tonumber(s.g), tonumber(s.gm)
if a.generation == generation then
  s.g, s.gm, s.l = int(generation + 1), int(now), int(now)
  call('HSET', k, 'g', s.g, 'gm', s.gm, 'l', s.l)
  -- Its sign-in is in use as long as one of its clients is.
  if s.v and call('EXISTS', key('session', s.v)) == 1 then call('HSET', key('session', s.v), 'l', s.l) end
  record(a.audit.refreshed, {sid = a.sid, patient = s.p, generation = generation + 1})
elseif a.generation ~= generation - 1 or now - began > a.grace_ms then
  end_session(a.sid, s.p, 'reused')
  record(a.audit.reused, {sid = a.sid, patient = s.p, generation = a.generation, newest = generation})
  return reply({err = 'invalid-refresh-token', reason = 'reused'})
end
s.id = a.sid
return reply({session = s})
