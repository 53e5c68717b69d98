-- Hand a worker the messages it should see to now.
--
-- a: queue     outbox | logouts; below, outbox stands for either
--    consumer  id of one worker, unique for its life
--    lease_ms  for how long nobody else gets what is handed out here
--    count     at most so many new messages, and as many again that are tried once more
-- Returns {entries = {{stream id, tries so far, {field, value, ...}}, ...}, fresh = how many are new and for somebody,
--          full = 1 when there may be more}
--
-- outbox         stream; an entry stays until its message is final
-- outbox:cursor  id of the newest entry that was ever handed out: what lies behind it is new
-- outbox:due     sorted set of entries handed out, by the instant of the next try; while a worker holds one, that is
--                the end of its lease, so a worker that vanished needs no other care
-- outbox:held    hash entry -> consumer, while a worker holds it
--
-- Leases by the caller's clock instead of a consumer group's idle time: one clock, no pending list that a thousand
-- deferred messages would clog, and a worker that lost an answer simply gets the same messages again.

local stream, cursor = key(a.queue), key(a.queue, 'cursor')
local due, held = key(a.queue, 'due'), key(a.queue, 'held')
local entries, fresh, full = {}, 0, 0

local function hand_out(entry, flat)
  local m = {}
  for i = 1, #flat, 2 do m[flat[i]] = flat[i + 1] end
  local tries = tonumber(call('HGET', key('delivery', m.id), 'attempts') or '0')
  call('ZADD', due, int(now + a.lease_ms), entry)
  call('HSET', held, entry, a.consumer)
  entries[#entries + 1] = {entry, tries, flat}
  return m
end

local function hand_out_again(entry)
  local found = call('XRANGE', stream, entry, entry)
  if #found == 1 then
    hand_out(entry, found[1][2])
  else
    call('ZREM', due, entry)
    call('HDEL', held, entry)
  end
end

for entry, consumer in pairs(hash(held)) do
  if consumer == a.consumer then hand_out_again(entry) end
end

local after = call('GET', cursor)
local new = call('XRANGE', stream, after and '(' .. after or '-', '+', 'COUNT', int(a.count))
for _, entry in ipairs(new) do
  if hand_out(entry[1], entry[2]).void ~= '1' then fresh = fresh + 1 end
end
if #new > 0 then call('SET', cursor, new[#new][1]) end

local again = call('ZRANGEBYSCORE', due, '-inf', int(now), 'LIMIT', '0', int(a.count))
for _, entry in ipairs(again) do hand_out_again(entry) end

if #new == a.count or #again == a.count then full = 1 end
return answer({entries = entries, fresh = fresh, full = full})
