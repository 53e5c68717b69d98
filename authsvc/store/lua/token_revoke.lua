-- Mark one access token as revoked until it would have expired anyway (RFC 7009).
--   jti, until (ms); audit revoked
-- Returns {}

call('SET', key('revoked', a.jti), '1', 'PX', int(math.max(a['until'] - now, 1) + SLACK_MS))
feed('t', a.jti)
record(a.audit.revoked, {jti = a.jti})
return reply({})
