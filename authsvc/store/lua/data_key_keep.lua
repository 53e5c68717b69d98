-- Keep a new data key, unless its purpose has one.
--
-- args: purpose sealed
-- Replies {sealed} as it is now

call('HSETNX', KEYS[1] .. 'data', purpose, sealed)
return reply({sealed = call('HGET', KEYS[1] .. 'data', purpose)})
