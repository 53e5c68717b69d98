-- Keep a pushed authorization request (RFC 9126 §2.2) until a browser brings it.
--
-- uses: limits pushed_requests
-- events: limited
-- args: request_id client query expires:int limits*5
--
-- `request_id` is a digest.
-- Replies {} | err: rate-limited

local refused = charge(limits)
if refused then return refused end
write(PUSHED_REQUEST, key('pushed-request', request_id), {client = client, query = query, expires = expires}, expires)
return reply({})
