-- Remember that a client assertion was used, so that it is good once (RFC 7523 §3).
--
-- args: client jti expires:int
-- `jti` is a digest; from `expires` on the assertion would be refused anyway.
-- Replies {} | err: replayed

local k = key('assertion', client .. ':' .. jti)
if call('SET', k, call_id, 'NX', 'PX', int(expires - now + SLACK_MS)) then return reply({}) end
if call('GET', k) == call_id then return reply({}) end
return refuse('replayed')
