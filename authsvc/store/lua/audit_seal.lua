-- Put a seal over the next range of the audit stream, unless another worker was faster.
--
-- args: after seal upto chain
-- `after` is the number of the last sealed entry as the caller read it, `seal` a record of the range up to `upto`.
-- Replies {sealed}

local k = KEYS[1] .. 'audit-sealed'
if (call('HGET', k, 'n') or '0') ~= after then return reply({}) end
call('RPUSH', KEYS[1] .. 'audit-seals', seal)
call('HSET', k, 'n', upto, 'chain', chain)
return reply({sealed = true})
