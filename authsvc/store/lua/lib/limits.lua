-- Rate limits by the generic cell rate algorithm (GCRA). A bucket is {policy, key, step, span, shown, kept, remaining}:
-- one act takes `step` ms, and `span` is what all acts of the quota take; `shown` is "<policy> <quota> <window_s>" where
-- the caller may see it, else empty. What is kept is the theoretical arrival time (ms): the instant at which the bucket is
-- full again; empty until it is read. All buckets are checked first and counted then, so a refused call costs nothing. A
-- time further away than the span is that of a clock that was wrong, and not believed: nobody is refused for it, and no
-- more than twice the quota passes in a window.
-- Instances share a bucket and their clocks differ: all count by Redis's clock, as each has last measured it.
-- uses: audit

local counted_now = now + clock_offset

-- The same as `fetch`, with what is kept of these buckets: their sixth members until they are checked.
local function fetch_with(buckets, keys)
  local count = #keys
  for at = 1, #buckets do keys[count + at] = buckets[at][2] end
  local values = call('MGET', unpack(keys))
  for at = 1, count do fetched[keys[at]] = values[at] end
  for at = 1, #buckets do buckets[at][6] = values[count + at] end
end

-- Count a bucket that has no room among the `violated`.
local function refuse_by(bucket, violated)
  violated[#violated + 1] = bucket[1]
  if mac_of('limited') and call('SET', bucket[2] .. ':noted', '1', 'NX', 'PX', int(bucket[4])) then
    record('limited', 'policy', bucket[1])
  end
end

local function show_limit(shown, remaining, reset_ms)
  local at = #limits_shown
  limits_shown[at + 1], limits_shown[at + 2], limits_shown[at + 3] = shown, remaining, math.ceil(reset_ms / 1000)
end

-- The refusal, or nil when all buckets have room.
local function check(buckets)
  local violated, wait
  if buckets[2] and buckets[1][6] == '' then fetch_with(buckets, {}) end
  for at = 1, #buckets do
    local bucket = buckets[at]
    local step, span = bucket[3], bucket[4]
    local kept, arrival = bucket[6], counted_now
    if kept == '' then kept = call('GET', bucket[2]) end
    if kept then
      kept = tonumber(kept)
      if kept > arrival and kept <= arrival + span then arrival = kept end
    end
    arrival = arrival + step
    local room, remaining = counted_now + span - arrival, 0
    if room < 0 then
      violated = violated or {}
      refuse_by(bucket, violated)
      wait = math.max(wait or 0, -room)
    else
      remaining = (room - room % step) / step
    end
    bucket[6], bucket[7] = arrival, remaining
    if bucket[5] ~= '' then show_limit(bucket[5], remaining, room < 0 and -room or arrival - counted_now) end
  end
  return violated and reply({err = 'rate-limited', violated = violated, wait_ms = wait})
end

-- Count what `check` has found room for.
local function count(buckets)
  for at = 1, #buckets do
    local arrival = buckets[at][6]
    call('SET', buckets[at][2], int(arrival), 'PX', int(arrival - counted_now + SLACK_MS))
  end
end

-- Check and count in one. nil, or the refusal.
local function charge(buckets)
  local refused = check(buckets)
  if not refused then count(buckets) end
  return refused
end

-- Buckets whose owner is known to the script only.
local function limits_of(buckets, owner)
  for at = 1, #buckets do
    buckets[at][2], buckets[at][6] = KEYS[1] .. 'limit:' .. buckets[at][1] .. ':' .. owner, ''
  end
  return buckets
end

-- Was this the last act that a bucket of one of these policies had room for?
local function is_used_up(buckets, policy, other)
  for at = 1, #buckets do
    local bucket = buckets[at]
    if bucket[7] == 0 and (bucket[1] == policy or bucket[1] == other) then return true end
  end
  return false
end

-- A refusal by what is no bucket: shown like one that is empty, so that every refusal names its policy.
local function refuse_limited(policy, wait_ms, quota, window_s)
  show_limit(policy .. ' ' .. quota .. ' ' .. window_s, 0, wait_ms)
  return reply({err = 'rate-limited', violated = {policy}, wait_ms = wait_ms})
end
