-- Put a seal over the next range of the audit stream, and index it, unless another worker was faster.
--
-- args: after seal upto chain chunks*2 newest*3
-- `after` is the number of the last sealed entry as the caller read it, `seal` a record of the range up to `upto`,
-- `chunks` are numbers and texts of the index, `newest` bucket (or empty), field and number of the newest entries.
-- Replies {sealed}
--
-- audit-ways:<chunk>     for 64 entries how far back the one before stands of the same patient, event, actor, person
--                        and guardian: "494,1,1;…", each empty where there is none
-- audit-newest           hash of "e<event>", "a<actor>" and "b<person>" → number of the newest entry of that; `first` is
--                        the first entry that is indexed
-- audit-newest:<bucket>  the same by patient and by "~<guardian>": 512 buckets, since one hash would take four times the
--                        memory

local k, newest_key = KEYS[1] .. 'audit-sealed', KEYS[1] .. 'audit-newest'
if (call('HGET', k, 'n') or '0') ~= after then return reply({}) end
call('RPUSH', KEYS[1] .. 'audit-seals', seal)
call('HSET', k, 'n', upto, 'chain', chain)
for _, chunk in ipairs(chunks) do call('SET', key('audit-ways', chunk[1]), chunk[2]) end
call('HSETNX', newest_key, 'first', int(tonumber(after) + 1))
local changes = {}  -- by key: fields and numbers in turn, so that each hash takes one command
for _, row in ipairs(newest) do
  local k = row[1] == '' and newest_key or key('audit-newest', row[1])
  local change = changes[k] or {}
  change[#change + 1], change[#change + 2] = row[2], row[3]
  changes[k] = change
end
for k, change in pairs(changes) do call('HSET', k, unpack(change)) end
return reply({sealed = true})
