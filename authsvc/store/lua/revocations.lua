-- What was revoked of late in this practice, a page at a time.
--
-- uses: revocations
-- reads: revocations
-- args: before most:int
-- `before` is an exclusive bound of the score, "+inf" for the newest page.
-- Replies {found = {"<kind>:<id>", ms, …}}, the newest `most`, newest first

local found = call('ZREVRANGEBYSCORE', KEYS[1] .. 'revocations', before, '(' .. int(now - FEED_MS), 'WITHSCORES',
  'LIMIT', '0', int(most))
return reply({found = found})
