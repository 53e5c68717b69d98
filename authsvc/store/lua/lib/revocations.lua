-- The feed for verifiers that never call back.
--
-- revocations  sorted set of "<kind>:<id>" by the instant of the revocation, as long as a token can rest on it.
--              Kinds: s session, l link, t token (jti)

local FEED_MS = 720000  -- the longest life of a token (600 s) and two minutes
local TRIMMED = '4'  -- old entries that each new one removes: more than come, and never thousands at once

local function publish_revocation(kind, id)
  local k = KEYS[1] .. 'revocations'
  -- Never before what is in the feed already: clocks differ, and a reader's cursor must not pass a late entry by.
  local newest = tonumber(call('ZREVRANGE', k, '0', '0', 'WITHSCORES')[2] or '0')
  call('ZADD', k, int(math.max(now, newest + 1)), kind .. ':' .. id)
  local old = call('ZRANGEBYSCORE', k, '-inf', int(now - FEED_MS), 'LIMIT', '0', TRIMMED)
  if #old > 0 then call('ZREM', k, unpack(old)) end
  call('PEXPIRE', k, int(FEED_MS))
end
