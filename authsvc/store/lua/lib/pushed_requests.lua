-- pushed-request:<digest>  record: a pushed authorization request (RFC 9126). `query` holds its parameters, `browser` is
--                          the digest of the id of the browser that brought it, `used` the instant at which it gave a
--                          code, to the `using_call`

local PUSHED_REQUEST = fields{'client', 'query', 'expires', 'browser', 'used', 'using_call'}
