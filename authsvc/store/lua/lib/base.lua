-- The first part of every script; `store/script_files.py` puts it in front, with the arguments as local variables.
--
-- KEYS[1]  prefix of one slot, such as "authsvc:{maple}:". Every key that a script touches begins with it.
-- KEYS[2]  the slot's audit stream. Two keys are declared so that Redis Cluster answers TRYAGAIN while the slot moves.
-- now      instant of the call in ms since the epoch, by the caller's clock: scripts never read the time themselves.
--          `now_text` is the same as it came, for records: to write a number costs Lua more than most commands cost Redis
-- clock_offset  how many ms Redis's clock is ahead of the caller's, as last measured; for limits alone
-- call_id  id of the call, the same when the client library sends it again
--
-- A record is one string: its fields in a fixed order, one a line. It takes a third less memory than a hash, and
-- `redis-cli --raw GET` still shows it readable. `fields{…}` names them; the loader makes of it `pack(record)` and
-- `unpack(text)`. Fields that a newer version has added behind the known ones are kept.
--
-- Deadlines are stored fields. A TTL only collects garbage, with slack, so that a test needs no more than another `now`.
-- No script may set a global variable.

local call = redis.call
local SLACK_MS = 60000  -- a TTL outlives its deadline by this

local recorded = {}  -- audit entries that were appended: {event, details}
local limits_shown = {}  -- for the RateLimit fields, three members each: "<policy> <quota> <window_s>", remaining, reset_s

local function int(number)
  return string.format('%d', number)
end

local function key(name, id)
  return KEYS[1] .. name .. ':' .. id
end

-- Values that were read beforehand in one command: a GET for each costs Redis twice as much. Each is used once, so that
-- what the script itself has written since is read anew.
local fetched = {}

local function fetch(keys)
  local values = call('MGET', unpack(keys))
  for at = 1, #keys do fetched[keys[at]] = values[at] end
end

-- The text under `k`, or false.
local function get(k)
  local value = fetched[k]
  fetched[k] = nil
  if value == nil then value = call('GET', k) end
  return value
end

-- The record under `k`, or nil.
local function read(unpack_text, k)
  local text = get(k)
  return text and unpack_text(text) or nil
end

-- Write a record that lives until `deadline` (a number or text, plus slack).
local function write(pack, k, record, deadline)
  call('SET', k, pack(record), 'PX', int(math.max(deadline - now, 0) + SLACK_MS))
end

-- Write a record and leave its TTL as it is. What was written.
local function rewrite(pack, k, record)
  local text = pack(record)
  call('SET', k, text, 'KEEPTTL')
  return text
end

-- Which of `count` hashes holds what belongs to `owner`.
local function bucket_number(owner, count)
  local sum, bytes = 5381, {string.byte(owner, 1, -1)}
  for at = 1, #bytes do sum = (sum * 33 + bytes[at]) % 4294967296 end
  return int(sum % count)
end

-- Comma-separated items of a field.
local function items(text)
  local found = {}
  for item in string.gmatch(text or '', '[^,]+') do found[#found + 1] = item end
  return found
end

-- The reply: names and values in turn. `err` names a refusal.
local function reply(values)
  local flat, at = {}, 0
  for name, value in pairs(values) do
    if value then
      flat[at + 1], flat[at + 2] = name, value == true and '1' or value
      at = at + 2
    end
  end
  if #recorded > 0 then flat[#flat + 1] = 'recorded' flat[#flat + 1] = recorded end
  if #limits_shown > 0 then flat[#flat + 1] = 'limits' flat[#flat + 1] = limits_shown end
  return flat
end

local function refuse(err, reason)
  return reply({err = err, reason = reason})
end
