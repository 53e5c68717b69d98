-- Keep a new data key, unless its purpose has one.
--
-- args: beside purpose sealed
-- Replies {sealed} as it is now; none: `beside`, a key that the caller has opened, is gone, so the store was emptied

if beside ~= '' and call('HEXISTS', KEYS[1] .. 'data', beside) == 0 then return reply({}) end
call('HSETNX', KEYS[1] .. 'data', purpose, sealed)
return reply({sealed = call('HGET', KEYS[1] .. 'data', purpose)})
