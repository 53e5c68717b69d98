-- Hand a worker the messages that it should send now.
--
-- uses: outbox
-- args: queue consumer lease_ms:int most:int
--
-- `consumer` is unique for the life of one worker; nobody else gets for `lease_ms` what is handed out here. At most
-- `most` new messages, and as many again that are tried once more.
-- Replies {entries = {{stream id, tries so far, record}, …}, fresh (how many are new and for somebody),
-- full (there may be more), waiting (messages in the queue that are not final)}
--
-- Leases by the caller's clock instead of a consumer group's idle time: one clock, no pending list that a thousand
-- deferred messages would fill, and a worker that lost an answer simply gets the same messages again.

local stream = KEYS[1] .. queue
local cursor, due, held, tries = stream .. ':cursor', stream .. ':due', stream .. ':held', stream .. ':tries'
local entries, fresh = {}, 0

local function hand_out(entry, message)
  call('ZADD', due, int(now + lease_ms), entry)
  call('HSET', held, entry, consumer)
  entries[#entries + 1] = {entry, call('HGET', tries, entry) or '0', message}
end

local function hand_out_again(entry)
  local found = call('XRANGE', stream, entry, entry)
  if #found == 1 then
    hand_out(entry, found[1][2][2])
  else
    call('ZREM', due, entry)
    call('HDEL', held, entry)
    call('HDEL', tries, entry)
  end
end

local holders = call('HGETALL', held)
for at = 1, #holders, 2 do
  if holders[at + 1] == consumer then hand_out_again(holders[at]) end
end

local after = call('GET', cursor)
local new = call('XRANGE', stream, after and '(' .. after or '-', '+', 'COUNT', int(most))
for _, entry in ipairs(new) do
  hand_out(entry[1], entry[2][2])
  if MESSAGE.unpack(entry[2][2]).nobody ~= '1' then fresh = fresh + 1 end
end
if #new > 0 then call('SET', cursor, new[#new][1]) end

local again = call('ZRANGEBYSCORE', due, '-inf', int(now), 'LIMIT', '0', int(most))
for _, entry in ipairs(again) do hand_out_again(entry) end
return reply({entries = entries, fresh = fresh, full = #new == most or #again == most,
  waiting = call('XLEN', stream)})
