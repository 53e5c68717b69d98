-- The entries of an audit stream that match, newest first. Changes nothing.
--
-- uses: audit
-- reads: entries
-- args: of_patient of_event of_actor of_person of_guardian since:int before:int after:int limit:int most:int
--
-- Empty or 0: any. `since` and `before` are instants, `before` is not included. `after` is the `next` of the call before.
-- At most `limit` entries are found and `most` are looked at: the search goes from one entry of the patient (else of the
-- guardian, the person, the event, the actor) to the one before, so it costs the same however long the stream is. An
-- entry without a way back is older than these ways, or somebody has meddled with it: then the entry before it is the next.
-- Replies {entries = {{n, t, e, m, d, p}, …}, looked, first (the oldest number that is there), next (where there may be more)}

local wanted = {p = of_patient, e = of_event, a = of_actor, b = of_person, g = of_guardian}
local walked  -- the term whose entries are gone through
for _, term in ipairs({'a', 'e', 'b', 'g', 'p'}) do
  if wanted[term] ~= '' then walked = term end
end

local function read_entry(n)
  local found = call('XRANGE', KEYS[2], int(n) .. '-0', int(n) .. '-0')[1]
  if not found then return nil end
  local entry = {n = n}
  for at = 1, #found[2], 2 do entry[found[2][at]] = found[2][at + 1] end
  entry.at = tonumber(string.match(entry.t, '^%d+')) or 0
  entry.terms = audit_terms(entry.t, entry.e, entry.d)
  return entry
end

local newest = tonumber(call('GET', KEYS[1] .. 'audit-n') or '0')
local first_of_ways = walked == 'g' and 'first_guardian' or 'first'
local chained = tonumber(call('HGET', KEYS[1] .. 'audit-newest', first_of_ways)) or newest + 1
local oldest = call('XRANGE', KEYS[2], '-', '+', 'COUNT', '1')[1]
oldest = oldest and tonumber(string.match(oldest[1], '^%d+')) or newest + 1

-- The number to look at after this one.
local function step(n, entry)
  local linked = walked and entry and entry.p and n >= chained
  if not linked or entry.terms[walked] ~= wanted[walked] then return n - 1 end
  local place = ({p = 1, e = 2, a = 3, b = 4, g = 5})[walked]
  local back, at = nil, 0
  for value in string.gmatch(entry.p .. ',', '([^,]*),') do
    at = at + 1
    if at == place then back = tonumber(value) end
  end
  return back and n - back or chained - 1
end

local function matches(entry)
  for term, value in pairs(wanted) do
    if value ~= '' and entry.terms[term] ~= value then return false end
  end
  return (since == 0 or entry.at >= since) and (before == 0 or entry.at < before)
end

-- Without a term: by halves to the entries of the time. Clocks of two machines differ by less than the slack.
local function newest_before(instant)
  local low, high = oldest, newest
  while low < high do
    local middle = math.ceil((low + high) / 2)
    local entry = read_entry(middle)
    if entry and entry.at > instant + SLACK_MS then high = middle - 1 else low = middle end
  end
  return low
end

local n
if after > 0 then
  n = step(after, read_entry(after))
elseif walked then
  n = tonumber(call('HGET', newest_of(walked, wanted[walked]))) or chained - 1
else
  n = before > 0 and newest_before(before) or newest
end

local entries, looked = {}, 0
local last
while n >= oldest and #entries < limit and looked < most do
  local entry = read_entry(n)
  looked, last = looked + 1, n
  if entry and since > 0 and entry.at < since - SLACK_MS then n = 0 break end
  if entry and matches(entry) then
    entries[#entries + 1] = {int(n), entry.t, entry.e, entry.m, entry.d, entry.p or ''}
  end
  n = step(n, entry)
end
return reply({entries = entries, looked = looked, first = int(oldest), next = last and n >= oldest and int(last)})
