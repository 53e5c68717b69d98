-- A message is final: out of the outbox, whoever held it, and noted.
--
-- a: queue               outbox | logouts
--    entry, id, patient  stream id, message id, patient
--    state               sent | refused | too_late, or void: nobody was to get it, so no record of it stays,
--                        nor of a logout: it is no mail of the patient's
--    detail              short note, no address in it; empty leaves the last one (why a mail that is now too late waited)
--    record_ms           how long delivery records are kept
-- Returns {last = 1} when this call made it final, {last = 0} when it already was

local delivery, index = key('delivery', a.id), key('deliveries', a.patient)
local last = call('XDEL', key(a.queue), a.entry)
call('ZREM', key(a.queue, 'due'), a.entry)
call('HDEL', key(a.queue, 'held'), a.entry)
if a.state == 'void' or a.queue == 'logouts' then
  call('DEL', delivery)
  call('ZREM', index, a.id)
elseif last == 1 and call('EXISTS', delivery) == 1 then
  call('HSET', delivery, 'state', a.state, 'at_ms', int(now))
  if a.detail ~= '' then call('HSET', delivery, 'detail', a.detail) end
end
call('ZREMRANGEBYSCORE', index, '-inf', int(now - a.record_ms))
return answer({last = last})
