-- The entries of an audit stream that match, newest first. Changes nothing.
--
-- reads: entries
-- args: of_patient of_event of_actor of_person of_guardian patient_bucket
-- args: since:int before:int after:int limit:int most:int
--
-- Empty or 0: any. `since` and `before` are instants, `before` is not included. `after` is the `next` of the call before.
-- At most `limit` entries are found and `most` are looked at: the search reads what is not yet sealed one by one, then
-- goes from one entry of the patient (else of the guardian, the person, the event, the actor) to the one before, so it
-- costs the same however long the stream is. What is older than the index (audit_seal.lua) is read one by one, too.
-- `patient_bucket` is that of the patient, else of the guardian.
-- Replies {entries = {{n, t, e, m, d, names and values that a newer release has added}, …}, looked, first (the oldest number that is there), next (where there may be more)}

local CHUNK = 64

local wanted = {p = of_patient, e = of_event, a = of_actor, b = of_person, g = of_guardian}
local walked  -- the term whose entries are gone through
for _, term in ipairs({'a', 'e', 'b', 'g', 'p'}) do
  if wanted[term] ~= '' then walked = term end
end

local function read_entry(n)
  local found = call('XRANGE', KEYS[2], int(n) .. '-0', int(n) .. '-0')[1]
  if not found then return nil end
  local entry, newer = {n = n}, {}
  for at = 1, #found[2], 2 do
    local name = found[2][at]
    if #name == 1 and string.find('temd', name, 1, true) then
      entry[name] = found[2][at + 1]
    else
      newer[#newer + 1], newer[#newer + 2] = name, found[2][at + 1]
    end
  end
  entry.shown = {int(n), entry.t, entry.e, entry.m, entry.d, unpack(newer)}
  local actor, known
  entry.at, actor, known = string.match(entry.t, '^(%d*)\n([^\n]*)\n[^\n]*\n([^\n]*)')
  entry.at = tonumber(entry.at) or 0
  entry.terms = {p = string.match('&' .. entry.d, '&patient=([^&]+)'), e = entry.e, a = actor,
    b = string.match('&' .. (known or ''), '&by=([^&]+)'), g = string.match('&' .. entry.d, '&guardian=([^&]+)')}
  return entry
end

local newest = tonumber(call('GET', KEYS[1] .. 'audit-n') or '0')
local indexed = tonumber(call('HGET', KEYS[1] .. 'audit-sealed', 'n') or '0')
local first_indexed = tonumber(call('HGET', KEYS[1] .. 'audit-newest', 'first')) or newest + 1
local oldest = call('XRANGE', KEYS[2], '-', '+', 'COUNT', '1')[1]
oldest = oldest and tonumber(string.match(oldest[1], '^%d+')) or newest + 1

-- The number of the newest indexed entry of the walked term.
local function newest_indexed()
  local prefix = ({p = '', g = '~'})[walked]
  local k = prefix and key('audit-newest', patient_bucket) or KEYS[1] .. 'audit-newest'
  return tonumber(call('HGET', k, (prefix or walked) .. wanted[walked])) or first_indexed - 1
end

local chunk_number, chunk  -- the one that was read last

-- How far back the entry before `n` stands of the walked term, or nil.
local function way_back(n)
  local number = math.floor(n / CHUNK)
  if number ~= chunk_number then
    chunk_number, chunk = number, {}
    for way in string.gmatch(call('GET', key('audit-ways', int(number))) or '', '([^;]*);') do chunk[#chunk + 1] = way end
  end
  local place, at = ({p = 1, e = 2, a = 3, b = 4, g = 5})[walked], 0
  for back in string.gmatch((chunk[n % CHUNK + 1] or '') .. ',', '([^,]*),') do
    at = at + 1
    if at == place then return tonumber(back) end
  end
end

-- The number to look at after this one.
local function step(n, entry)
  if not walked or n < first_indexed then return n - 1 end
  if n == indexed + 1 then return newest_indexed() end
  if n > indexed or not entry or entry.terms[walked] ~= wanted[walked] then return n - 1 end
  local back = way_back(n)
  return back and n - back or first_indexed - 1
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
  n = step(newest + 1)
else
  n = before > 0 and newest_before(before) or newest
end

local entries, looked = {}, 0
local last
while n >= oldest and #entries < limit and looked < most do
  local entry = read_entry(n)
  looked, last = looked + 1, n
  if entry and since > 0 and entry.at < since - SLACK_MS then n = 0 break end
  if entry and matches(entry) then entries[#entries + 1] = entry.shown end
  n = step(n, entry)
end
return reply({entries = entries, looked = looked, first = int(oldest), next = last and n >= oldest and int(last)})
