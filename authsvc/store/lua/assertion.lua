-- Remember that a client's assertion was used, so that it is good once.
--   client; jti (its digest); until_ms the instant from which the assertion would be refused anyway
-- Returns {} | err: replayed

local k = key('assertion', a.client, a.jti)
if call('SET', k, '1', 'NX', 'PX', int(a.until_ms - now + SLACK_MS)) then return reply({}) end
return answer({err = 'replayed'})
