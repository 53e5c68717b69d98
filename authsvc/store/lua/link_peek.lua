-- What a link is for, and whether it would still be taken. Changes nothing: mail scanners make this run.
--   id, d (public id and digest of the token)
-- Returns {w = workflow} | err: link-unknown, link-gone (reason)

local l = hash(key('link', a.id))
if l.d ~= a.d then return answer({err = 'link-unknown'}) end
local dead = why_dead(l)
if dead then return answer({err = 'link-gone', reason = dead}) end
return answer({w = l.w})
