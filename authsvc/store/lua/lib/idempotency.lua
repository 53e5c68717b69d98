-- Idempotency-Key. `idempotency_id` is empty without one; `idempotency_body` is a MAC of the request's body,
-- `idempotency_answer` the sealed answer: nothing is readable without the caller's key.

local function idempotent_reply()
  if idempotency_id == '' then return nil end
  local text = call('GET', key('idempotency', idempotency_id))
  if not text then return nil end
  local body, answer = string.match(text, '^([^\n]*)\n(.*)$')
  if body ~= idempotency_body then return refuse('idempotency-conflict') end
  return reply({earlier_answer = answer})
end

local function keep_answer()
  if idempotency_id ~= '' then
    call('SET', key('idempotency', idempotency_id), idempotency_body .. '\n' .. idempotency_answer, 'PX', idempotency_ms)
  end
end
