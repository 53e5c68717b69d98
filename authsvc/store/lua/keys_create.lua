-- The first start: make the ring and the data key that seals it, unless either is there.
--
--   ring (JSON text), data_key (sealed); audit created
-- Returns {ring} as it is now; no ring: a data key or a trail of keys is there but the ring is gone,
-- which is no first start

local ring = call('GET', key('ring'))
if ring then return answer({ring = ring}) end
if call('HEXISTS', key('data'), 'keys') == 1 or call('EXISTS', key('audit', 'n')) == 1 then return answer({}) end
call('HSET', key('data'), 'keys', a.data_key)
call('SET', key('ring'), a.ring)
record(a.audit.created)
return reply({ring = a.ring})
