-- Before a code is compared: charge the limits and reserve one of the attempts. Nothing secret is looked at here.
--
--   limits   buckets that don't depend on the challenge; network {quota, window_s}, said (did the caller name one?)
--   handle, client; attempts (per challenge), budget {consecutive, day}, link_misses (per link), replay_ms, replays
--   audit    gone, link_ended, limited
-- Returns {z, f, q, left (attempts after this one), locked, hour, mode = 'guess' | 'replay'}
--   | err: rate-limited, challenge-gone (reason)

local k = key('challenge', a.handle)
local c = hash(k)
local limits = a.limits
if not a.said and c.n and c.n ~= '' then
  for network in string.gmatch(c.n, '[^,]+') do
    limits[#limits + 1] = {'verify-network', network, a.network[1], a.network[2], true}
  end
end
local refused = take(limits)
if refused then return refused end

local function gone(reason)
  record(a.audit.gone, {reason = reason})
  return reply({err = 'challenge-gone', reason = reason})
end

if not c.c then return gone('unknown') end
if c.c ~= a.client then return gone('other_client') end
if c.st ~= '' then
  -- The honest double click: a few repeats of the winning code, for a few seconds.
  if now - tonumber(c.wm) > a.replay_ms or tonumber(c.rp) >= a.replays then return gone('spent') end
  call('HINCRBY', k, 'rp', '1')
  return reply({z = c.z, f = c.f, q = c.q, left = 0, locked = false, hour = 0, mode = 'replay'})
end
if tonumber(c.e) <= now then return gone('expired') end
-- Who is meant has moved, or may not sign in any more. A typed address is never asked: its answer would tell.
if c.p ~= '' and #signers(c) == 0 then return gone('superseded') end
local used = tonumber(c.a)
if used >= a.attempts then return gone('exhausted') end

local locked, hour = false, math.floor(now / HOUR_MS)
if c.k == 'link' then
  local l = key('link', c.l)
  if call('HGET', l, 'st') then return gone('superseded') end
  if call('HINCRBY', l, 'b', '1') > a.link_misses then
    end_link(c.l, MISSES_END_LINK)
    return gone('exhausted')
  end
else
  locked = link_mode(c.x)
  local g = key('guess', c.x)
  call('HINCRBY', g, 'c', '1')
  call('HINCRBY', g, 'h' .. int(hour), '1')
  call('PEXPIRE', g, GUESS_TTL_MS)
end
call('HSET', k, 'a', int(used + 1))
return reply({z = c.z, f = c.f, q = c.q, left = a.attempts - used - 1, locked = locked, hour = hour, mode = 'guess'})
