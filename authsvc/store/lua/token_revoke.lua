-- Mark one access token as revoked until it would have expired anyway (RFC 7009).
--   limits; jti, until (ms); audit revoked, limited
-- Returns {} | err: rate-limited

local refused = take(a.limits)
if refused then return refused end
-- Once: who sends the same token again and again fills neither the trail nor the feed.
if call('SET', key('revoked', a.jti), '1', 'NX', 'PX', int(math.max(a['until'] - now, 1) + SLACK_MS)) then
  feed('t', a.jti)
  record(a.audit.revoked, {jti = a.jti})
end
return reply({})
