-- What was revoked of late in this practice, for the feed.
--   after (ms): only what came later
-- Returns {found = ["<kind>:<id>", <ms>, ...], newest (ms)}

local found = call('ZRANGEBYSCORE', key('revocations'), '(' .. int(a.after), '+inf', 'WITHSCORES')
return answer({found = #found > 0 and found or nil})
