-- Changing who may act for whom.
-- uses: dependents sessions storage

local DEPENDENTS_MAX = 20  -- of one guardian; a dependent has as many guardians at most

local function with_guardian(dependent, id, added)
  local ids = added and {id} or {}
  for _, other in ipairs(guardians_of(dependent)) do
    if other ~= id then ids[#ids + 1] = other end
  end
  dependent.guardians = table.concat(ids, ',')
  write_patient(dependent)
end

-- Write the guardian's list with this relation in it (`ends` and `workflows`), or without it (`ends` nil).
local function with_dependent(guardian, id, ends, workflows)
  local kept = {}
  for _, relation in ipairs(dependents_of(guardian)) do
    if relation.id ~= id then 
      kept[#kept + 1] = relation.id .. '|' .. relation.ends .. '|' .. relation.workflows .. relation.unknown
    end
  end
  if ends then kept[#kept + 1] = id .. '|' .. ends .. '|' .. workflows end
  local more = #kept - #items(guardian.dependents)  -- fewer, too, by those that were over
  if more ~= 0 then count_storage(BYTES.relation * more) end
  guardian.dependents = table.concat(kept, ',')
  write_patient(guardian)
end

-- Why this relation may not be, or nil. A guardian never acts for somebody who acts for somebody.
local function why_not(guardian, dependent)
  if guardian.id == dependent.id or #dependents_of(dependent) > 0 or #guardians_of(guardian) > 0 then
    return 'dependent-chain'
  end
  if not dependent_of(guardian, dependent.id)
    and (#dependents_of(guardian) >= DEPENDENTS_MAX or #guardians_of(dependent) >= DEPENDENTS_MAX
    or not has_room(guardian.mailbox, 1)) then
    return 'too-many-dependents'
  end
end

-- End the sessions in which this guardian acts for this dependent. True where some are left for the next call.
local function end_acting(guardian, id, reason)
  for _, item in ipairs(items(guardian.sessions)) do
    local session = read_session(string.match(item, '^[^.]+'))
    if session and session.patient == id and session.guardian == guardian.id then
      if sessions_ended >= SESSIONS_AT_ONCE then return true end
      end_session(session, reason)
    end
  end
  return false
end

local function relate(guardian_id, dependent_id, ends, workflows)
  with_dependent(read_patient(guardian_id), dependent_id, ends, workflows)
  with_guardian(read_patient(dependent_id), guardian_id, true)
end

-- The sessions that rest on it have ended.
local function unrelate(guardian_id, dependent_id)
  with_dependent(read_patient(guardian_id), dependent_id)
  with_guardian(read_patient(dependent_id), guardian_id)
  record('dependent.removed', 'patient', dependent_id, 'guardian', guardian_id)
end
