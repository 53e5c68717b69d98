-- unconfirmed:<kind>,<caller and credential>  "<call id>|<its instant, ms>": a call that has used a credential up, or may
--   have, and whose caller was answered 503. The process that answered has written it (`store/unconfirmed.py`).
--
-- For that caller the call counts as not made: its repeat is judged as the first one was, but for the use itself. The
-- record must still name that call: once anybody was answered since then, it names another.

local function peek_unconfirmed()
  return string.match(call('GET', unconfirmed_key()) or '', '^([^|]*)|(%d+)$')
end

-- The call id and the instant of such a call, or nothing; known this once.
local function take_unconfirmed()
  local id, instant = peek_unconfirmed()
  if id then call('DEL', unconfirmed_key()) end
  return id, instant
end
