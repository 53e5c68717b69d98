-- Put data keys that are sealed anew in place of the old ones, all or none.
--
-- uses: retries audit
-- events: *
-- args: moves*3
-- `moves` are {purpose, former, new}.
-- Replies {} | err: conflict

for _, move in ipairs(moves) do
  if call('HGET', KEYS[1] .. 'data', move[1]) ~= move[2] then return refuse('conflict') end
end
for _, move in ipairs(moves) do call('HSET', KEYS[1] .. 'data', move[1], move[3]) end
record(event)
return reply_once({})
