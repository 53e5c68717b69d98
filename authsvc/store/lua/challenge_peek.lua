-- Read what hashing one more code for a challenge needs. Changes nothing.
--   handle  digest of the handle
-- Returns {z = salt, f = profile, q = pepper id, ch = channel} or {}.

local c = hash(key('challenge', a.handle))
return answer({z = c.z, f = c.f, q = c.q, ch = c.ch})
