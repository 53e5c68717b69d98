-- Remember that a DPoP proof was used, so that it is good once (RFC 9449 §11.1).
--
-- args: proof expires:int
-- dpop-proof:<digest>  the call that used it
--
-- `proof` is a digest of key and `jti`; from `expires` on the proof would be refused anyway.
-- Replies {fresh}

local k = key('dpop-proof', proof)
local kept = call('SET', k, call_id, 'NX', 'PX', int(math.max(expires - now, 0) + SLACK_MS))
return reply({fresh = kept and true or call('GET', k) == call_id})
