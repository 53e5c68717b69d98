-- The patient is still there: the idle time begins anew. The absolute end stays.
--   sid, secret (digest), idle_ms; limits; audit extended, limited
-- Returns {done = bool} | err: rate-limited

local refused = take(a.limits)
if refused then return refused end
local k = key('session', a.sid)
local s = hash(k)
if s.c ~= '' or s.n ~= a.secret or not alive(s, a.idle_ms) then return reply({done = false}) end
call('HSET', k, 'l', int(now))
record(a.audit.extended, {sid = a.sid, patient = s.p})
return reply({done = true})
