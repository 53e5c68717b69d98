-- Put data keys that are sealed anew in place of the old ones, all or none.
--
--   moves {purpose = {old, new}}; audit rewrapped
-- Returns {} | err: conflict

for purpose, move in pairs(a.moves) do
  if call('HGET', key('data'), purpose) ~= move[1] then return answer({err = 'conflict'}) end
end
for purpose, move in pairs(a.moves) do call('HSET', key('data'), purpose, move[2]) end
record(a.audit.rewrapped)
return reply({})
