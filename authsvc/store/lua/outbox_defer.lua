-- A worker gives a message back, to be tried (again) at an instant.
--
-- uses: outbox
-- args: queue entry consumer patient message_id at:int deferred detail
--
-- Nothing happens when the worker no longer holds the message. `deferred` is 1 after a try that failed, `detail` why
-- (no address in it); else the message wasn't tried at all, by a worker that ends.
-- Replies {} | err: lost

local stream = KEYS[1] .. queue
if call('HGET', stream .. ':held', entry) ~= consumer then return refuse('lost') end
call('HDEL', stream .. ':held', entry)
call('ZADD', stream .. ':due', int(at), entry)
local k = key('deliveries', patient)
local text = deferred == '1' and call('HGET', k, message_id)
if text then
  local delivery = DELIVERY.unpack(text)
  delivery.state, delivery.updated, delivery.detail = 'deferred', now_text, detail
  call('HSET', k, message_id, DELIVERY.pack(delivery))
end
return reply({})
