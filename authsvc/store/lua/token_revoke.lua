-- Mark one access token as revoked until it would have expired anyway (RFC 7009).
--
-- uses: limits revocations
-- events: token.revoked limited
-- args: jti expires:int limits*5
-- Replies {} | err: rate-limited

local refused = charge(limits)
if refused then return refused end
-- Once: the same token again and again fills neither the audit stream nor the feed.
if call('SET', key('revoked', jti), '1', 'NX', 'PX', int(math.max(expires - now, 1) + SLACK_MS)) then
  publish_revocation('t', jti)
  record('token.revoked', 'jti', jti)
end
return reply({})
