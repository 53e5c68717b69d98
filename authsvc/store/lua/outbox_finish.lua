-- A message is final: out of the outbox, whoever held it, and noted.
--
-- uses: outbox
-- args: queue entry patient message_id state detail
--
-- `state` is sent, refused, too_late or cancelled; void: nobody was to get it, so no record of it stays. An empty `detail`
-- leaves the last one (why a mail that is now too late waited).
-- Replies {last} when this call made it final

local stream = KEYS[1] .. queue
local last = call('XDEL', stream, entry) == 1
call('ZREM', stream .. ':due', entry)
call('HDEL', stream .. ':held', entry)
call('HDEL', stream .. ':tries', entry)
local k = deliveries_key(patient, message_id)
if state == 'void' then
  call('HDEL', k, message_id)
elseif last then
  local text = call('HGET', k, message_id)
  if text then
    local delivery = DELIVERY.unpack(text)
    delivery.state, delivery.updated = state, now_text
    if detail ~= '' then delivery.detail = detail end
    call('HSET', k, message_id, DELIVERY.pack(delivery))
  end
end
return reply({last = last})
