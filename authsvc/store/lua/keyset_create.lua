-- The first start: keep the keyset and the data key that seals it, unless either is there.
--
-- uses: retries audit
-- events: *
-- args: keyset data_key
-- Replies {keyset} as it is now; none: a data key or an audit entry of keys is there but the keyset is gone, or a running
-- process has said so (`lost`), which is no first start

local known = call('GET', KEYS[1] .. 'keyset')
if known then return reply({keyset = known}) end
if call('HEXISTS', KEYS[1] .. 'data', 'keys') == 1 or call('EXISTS', KEYS[1] .. 'audit-n') == 1
  or call('EXISTS', KEYS[1] .. 'lost') == 1 then return reply({}) end
call('HSET', KEYS[1] .. 'data', 'keys', data_key)
call('SET', KEYS[1] .. 'keyset', keyset)
record(event)
return reply_once({keyset = keyset})
