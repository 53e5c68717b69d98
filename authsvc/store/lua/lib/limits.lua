-- Rate limits by the generic cell rate algorithm (GCRA). A bucket is {policy, id, quota, window_s, shown}; what is kept
-- is its theoretical arrival time (ms): the instant at which the bucket is full again. All buckets are checked first and
-- counted then, so a refused call costs nothing. A time further away than the window is that of a clock that
-- was wrong, and not believed: nobody is refused for it, and no more than twice the quota passes in a window.
-- Instances share a bucket and their clocks differ: all count by Redis's clock, as each has last measured it.
-- uses: audit

local counted_now = now + clock_offset

local function limit_key(bucket)
  return KEYS[1] .. 'limit:' .. bucket[1] .. ':' .. bucket[2]
end

-- Add the keys of these buckets to those that are fetched together.
local function limit_keys(buckets, keys)
  for _, bucket in ipairs(buckets) do keys[#keys + 1] = limit_key(bucket) end
  return keys
end

-- The refusal, or nil when all buckets have room; what remains by policy; and what `count` takes.
local function check(buckets)
  local arrivals, left, violated, wait = {}, {}, {}, 0
  if buckets[2] and fetched[limit_key(buckets[1])] == nil then fetch(limit_keys(buckets, {})) end
  for _, bucket in ipairs(buckets) do
    local policy, quota, window, k = bucket[1], tonumber(bucket[3]), tonumber(bucket[4]) * 1000, limit_key(bucket)
    local step = math.ceil(window / quota)
    local kept = tonumber(get(k) or '0')
    local arrival = kept <= counted_now + step * quota and math.max(kept, counted_now) or counted_now
    local room = counted_now + math.max(window, step * quota) - (arrival + step)
    local remaining, reset = 0, math.ceil(-room / 1000)
    if room < 0 then
      violated[#violated + 1] = policy
      wait = math.max(wait, -room)
      if mac_of('limited') and call('SET', k .. ':noted', '1', 'NX', 'PX', int(window)) then
        record('limited', 'policy', policy)
      end
    else
      arrivals[k] = arrival + step
      remaining, reset = math.floor(room / step), math.ceil((arrival + step - counted_now) / 1000)
    end
    if not left[policy] or remaining < left[policy] then left[policy] = remaining end
    if bucket[5] == '1' then limits_shown[#limits_shown + 1] = {policy, quota, tonumber(bucket[4]), remaining, reset} end
  end
  if #violated == 0 then return nil, left, arrivals end
  return reply({err = 'rate-limited', violated = violated, wait_ms = wait}), left
end

local function count(arrivals)
  for k, arrival in pairs(arrivals) do call('SET', k, int(arrival), 'PX', int(arrival - counted_now + SLACK_MS)) end
end

-- Check and count in one. nil, or the refusal; what remains by policy.
local function charge(buckets)
  local refused, left, arrivals = check(buckets)
  if not refused then count(arrivals) end
  return refused, left
end

-- Buckets whose owner is known to the script only.
local function limits_of(buckets, owner)
  for _, bucket in ipairs(buckets) do bucket[2] = owner end
  return buckets
end

-- A refusal by what is no bucket: shown like one that is empty, so that every refusal names its policy.
local function refuse_limited(policy, wait_ms, quota, window_s)
  limits_shown[#limits_shown + 1] = {policy, tonumber(quota), tonumber(window_s), 0, math.ceil(wait_ms / 1000)}
  return reply({err = 'rate-limited', violated = {policy}, wait_ms = wait_ms})
end
