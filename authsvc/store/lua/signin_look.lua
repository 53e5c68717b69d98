-- Who is signed in with this browser's cookie. Changes nothing, so that being asked doesn't keep anybody signed in.
--   sid, secret (digest of the cookie's), idle_ms
-- Returns {session = {...}, label, to (sealed), locale} or {}

local s = hash(key('session', a.sid))
if s.c ~= '' or s.n ~= a.secret or not alive(s, a.idle_ms) then return answer({}) end
local p = patient_of(s.p)
if not p then return answer({}) end
s.id = a.sid
return answer({session = s, label = p.label, to = p.to, locale = p.locale})
