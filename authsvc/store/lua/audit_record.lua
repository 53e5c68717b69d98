-- Append one audit entry, for what has no script of its own.
--
-- uses: retries audit
-- events: *

-- Replies {}

record(event)
return reply_once({})
