-- One step of the keyset, from exactly the text that the step was computed from.
--
-- uses: retries audit
-- events: *
-- args: former keyset
-- `former` is empty for none.
-- Replies {} | err: conflict

if (call('GET', KEYS[1] .. 'keyset') or '') ~= former then return refuse('conflict') end
call('SET', KEYS[1] .. 'keyset', keyset)
record(event)
return reply_once({})
