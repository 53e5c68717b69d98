-- What was revoked of late in this practice.
--
-- args: most
-- Replies {found = {"<kind>:<id>", ms, …}}, the newest `most`, oldest of them first

local found = call('ZREVRANGE', KEYS[1] .. 'revocations', '0', int(tonumber(most) - 1), 'WITHSCORES')
return reply({found = found})
