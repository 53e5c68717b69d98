-- unconfirmed:<kind>,<caller and credential>,<call>  1: this call has used the credential up, or may have, and its caller
--   was answered 503. The process that answered has written it (`store/unconfirmed.py`). A call is named by its id, or by
--   its instant where the record keeps no id.
--
-- For that caller the call counts as not made: its repeat is judged as the first one was, but for the use itself. The
-- record must still name that call: once anybody was answered since then, it names another. Each call has a mark of its own,
-- so that one that came to nothing doesn't hide the one before it, which did something.

-- Is there such a mark of this call?
local function peek_unconfirmed(used_by)
  return (used_by or '') ~= '' and call('EXISTS', unconfirmed_key(used_by)) == 1
end

-- The same, known this once.
local function take_unconfirmed(used_by)
  return (used_by or '') ~= '' and call('DEL', unconfirmed_key(used_by)) == 1
end
