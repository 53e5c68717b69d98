-- What a practice keeps for long, counted where it is written, so that no practice can fill the store for the others.
-- Sizes are stated and not measured: what a record takes whose every field is as long as it may be. Audit entries are
-- counted by the length of their stream. What lives for hours only is bounded by the rates (docs/reference/limits.md).
--
-- storage  "<week> <bytes>" a line: what is forgotten in that week of the epoch, or `stays`. Weeks that are over go with
--          the next writing
-- uses: audit

local WEEK_MS = 604800000
local FAR_WEEKS = 26  -- what is further away is counted by four weeks: fewer lines
local BYTES = {patient = 1800, merged = 250, relation = 250, link = 900, guesses = 200}
local AUDIT_BYTES = 300
local STORAGE_NOTED_MS = '3600000'

local stored  -- bytes by week; read once
local used_before  -- what was kept before this call, where it was looked at

local function read_storage()
  if stored then return stored end
  stored = {}
  for week, bytes in string.gmatch(get(KEYS[1] .. 'storage') or '', '(%S+) (%d+)') do
    if (tonumber(week) or now) >= math.floor(now / WEEK_MS) then stored[week] = tonumber(bytes) end
  end
  return stored
end

-- The week in which something is forgotten: `deadline` in ms, or false for what stays.
local function week_of(deadline)
  if not deadline then return 'stays' end
  local week = math.floor(deadline / WEEK_MS)
  return int(week > now / WEEK_MS + FAR_WEEKS and math.ceil(week / 4) * 4 or week)
end

local function write_storage()
  local lines = {}
  for week, bytes in pairs(stored) do
    if bytes > 0 then lines[#lines + 1] = week .. ' ' .. int(bytes) end
  end
  call('SET', KEYS[1] .. 'storage', table.concat(lines, '\n'))
end

-- Count what is kept until `deadline` (false: for good), or take it off again. Nothing falls below 0: records of a release
-- that didn't count may go.
local function count_storage(bytes, deadline)
  local week = week_of(deadline)
  stored = read_storage()
  stored[week] = math.max(0, (stored[week] or 0) + bytes)
  write_storage()
end

local function used_storage()
  local used = AUDIT_BYTES * call('XLEN', KEYS[2])
  for _, bytes in pairs(read_storage()) do used = used + bytes end
  return used
end

-- nil, or the refusal of a call that would keep more for long.
local function full_storage()
  used_before = used_storage()
  if used_before < storage_max then return nil end
  if call('SET', KEYS[1] .. 'limit:storage:practice:noted', '1', 'NX', 'PX', STORAGE_NOTED_MS) then
    record('limited', 'policy', 'storage')
  end
  return reply({err = 'storage-full', limit = int(storage_max)})
end
