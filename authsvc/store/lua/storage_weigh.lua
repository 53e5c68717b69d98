-- What some records are counted as: for practices that have records of a release that didn't count. Changes nothing.
--
-- uses: storage patients
-- args: names*1
--
-- `names` are keys without their prefix.
-- Replies {weeks = {week, bytes, …}}

local found = {}

local function add(bytes, deadline)
  local week = week_of(deadline)
  found[week] = (found[week] or 0) + bytes
end

for _, row in ipairs(names) do
  local kind, id = string.match(row[1], '^([^:]+):(.*)$')
  local k = KEYS[1] .. row[1]
  if kind == 'patient' then
    local patient = read_patient(id)
    if patient then add(BYTES.patient + BYTES.relation * #items(patient.dependents)) end
  elseif kind == 'merged' then
    add(BYTES.merged)
  else
    local left = call('PTTL', k)
    local counted = kind == 'link' or call('EXISTS', key('mailbox', id)) == 0
    if left > 0 and counted then add(BYTES[kind], now + left) end
  end
end

local weeks = {}
for week, bytes in pairs(found) do
  weeks[#weeks + 1], weeks[#weeks + 2] = week, int(bytes)
end
return reply({weeks = weeks})
