-- What a link is for, for the page that shows it. Changes nothing: mail scanners open links too.
--   id, d, k (see link_exchange)
-- Returns {w = workflow} | err: link-unknown, link-gone (reason)

local l = hash(key('link', a.id))
if l.d ~= a.d or l.k ~= a.k then return answer({err = 'link-unknown'}) end
local dead = why_dead(l)
if dead then return answer({err = 'link-gone', reason = dead}) end
return answer({w = l.w})
