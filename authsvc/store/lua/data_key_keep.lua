-- Keep a new data key, unless its purpose has one.
--
-- args: beside purpose sealed
-- Replies {sealed} as it is now; none: keys are gone, so the store was emptied or torn: `beside`, a key that the caller has
-- opened; the keyset or its own data key, which are made together; or a running process has said so (`lost`)

if beside ~= '' and call('HEXISTS', KEYS[1] .. 'data', beside) == 0 then return reply({}) end
local ring, own = call('EXISTS', KEYS[1] .. 'keyset'), call('HEXISTS', KEYS[1] .. 'data', 'keys')
if ring ~= own or (ring == 0 and call('EXISTS', KEYS[1] .. 'lost') == 1) then return reply({}) end
call('HSETNX', KEYS[1] .. 'data', purpose, sealed)
return reply({sealed = call('HGET', KEYS[1] .. 'data', purpose)})
