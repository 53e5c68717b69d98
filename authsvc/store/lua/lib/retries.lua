-- For calls that can't tell by their own keys that they were sent before: the reply is kept for a minute.
local RETRY_MS = '60000'  -- longer than the client's own retries ever last
local retry_key = key('call', call_id)

local function reply_once(values)
  local flat = reply(values)
  call('SET', retry_key, cjson.encode(flat), 'PX', RETRY_MS)
  return flat
end

local earlier_reply = call('GET', retry_key)
if earlier_reply then return cjson.decode(earlier_reply) end
