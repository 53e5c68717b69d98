-- After a trim: forget the patients of one bucket who have no entry any more, some at a time.
--
-- args: number upto:int cursor
-- Replies {cursor} for the next call; "0" at the end

local k = key('audit-newest', number)
local found = call('HSCAN', k, cursor, 'COUNT', '100')
local flat = found[2]
for at = 1, #flat, 2 do
  if tonumber(flat[at + 1]) <= upto then call('HDEL', k, flat[at]) end
end
return reply({cursor = found[1]})
