-- After a trim: forget the patients of one bucket who have no entry any more.
--
-- args: number upto:int
-- Replies {}

local k = key('audit-newest', number)
local flat = call('HGETALL', k)
for at = 1, #flat, 2 do
  if tonumber(flat[at + 1]) <= upto then call('HDEL', k, flat[at]) end
end
return reply({})
