-- A worker is about to send a message: is it still the one to do so?
--
-- a: queue     outbox | logouts
--    entry     stream id
--    id        message id
--    consumer  the worker
--    try       number of this try, from 1; set, not added to, so that a retry of this call changes nothing
--    lease_ms  the lease begins anew
-- Returns {} | err: lost (the lease ran out and another worker has the message, or it is final)

if call('HGET', key(a.queue, 'held'), a.entry) ~= a.consumer then return answer({err = 'lost'}) end
call('ZADD', key(a.queue, 'due'), int(now + a.lease_ms), a.entry)
local delivery = key('delivery', a.id)
if call('EXISTS', delivery) == 1 then call('HSET', delivery, 'attempts', int(a.try)) end
return answer({})
