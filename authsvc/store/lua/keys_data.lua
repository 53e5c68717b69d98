-- Keep a new data key, unless its purpose has one. Safe to repeat without an act id.
--
--   purpose, sealed
-- Returns {sealed} as it is now

call('HSETNX', key('data'), a.purpose, a.sealed)
return answer({sealed = call('HGET', key('data'), a.purpose)})
