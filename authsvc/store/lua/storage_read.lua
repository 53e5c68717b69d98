-- How much a practice keeps for long, by the stated sizes. Changes nothing.
--
-- uses: storage
-- Replies {used, lines}

return reply({used = int(used_storage()), lines = call('GET', KEYS[1] .. 'storage') or ''})
