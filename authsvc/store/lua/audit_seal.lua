-- Put a seal over the next range of the audit stream, unless another worker was faster.
--   after  number of the last sealed entry as the caller read it; seal (JSON text), upto (number), id (stream id of it)
-- Returns {sealed = bool}

local k = key('audit', 'sealed')
if (call('HGET', k, 'n') or '0') ~= int(a.after) then return answer({sealed = false}) end
call('RPUSH', key('audit', 'seals'), a.seal)
call('HSET', k, 'n', int(a.upto), 'id', a.id, 'h', a.chain)
return answer({sealed = true})
