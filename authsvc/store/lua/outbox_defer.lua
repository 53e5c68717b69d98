-- A worker gives a message back, to be tried (again) at an instant.
--
-- a: queue       outbox | logouts
--    entry, id   stream id, message id
--    consumer    the worker; nothing happens when it no longer holds the message
--    at          instant of the next try, ms
--    detail      why, no address in it; absent when the message wasn't tried at all (a worker that ends)
-- Returns {} | err: lost

if call('HGET', key(a.queue, 'held'), a.entry) ~= a.consumer then return answer({err = 'lost'}) end
call('HDEL', key(a.queue, 'held'), a.entry)
call('ZADD', key(a.queue, 'due'), int(a.at), a.entry)
local delivery = key('delivery', a.id)
if a.detail and call('EXISTS', delivery) == 1 then
  call('HSET', delivery, 'state', 'deferred', 'at_ms', int(now), 'detail', a.detail)
end
return answer({})
