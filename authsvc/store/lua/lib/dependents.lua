-- Who may act for whom: what the practice says. In a patient's record `dependents` lists "<id>|<until, ms, or empty>|<names
-- of workflows with spaces between, or empty for all>", and `guardians` the ids of the patients that list this one. What
-- is over counts as gone, and is dropped with the next change.
-- uses: patients

local CHOICES_MAX = 200  -- people to choose from on one mailbox: its patients and their dependents

local function dependents_of(patient)
  local found = {}
  for _, item in ipairs(items(patient.dependents)) do
    local id, ends, workflows, unknown = string.match(item, '^([^|]+)|(%d*)|([^|]*)(.*)$')
    if ends == '' or tonumber(ends) > now then
      found[#found + 1] = {id = id, ends = ends, workflows = workflows, unknown = unknown}
    end
  end
  return found
end

local function dependent_of(patient, id)
  for _, relation in ipairs(dependents_of(patient)) do
    if relation.id == id then return relation end
  end
end

-- The ids of those who may act for a patient now.
local function guardians_of(patient)
  local found = {}
  for _, id in ipairs(items(patient.guardians)) do
    local guardian = read_patient(id)
    if guardian and dependent_of(guardian, patient.id) then found[#found + 1] = id end
  end
  return found
end

-- Is there room on a mailbox for so many more people to choose from?
local function has_room(mailbox, more)
  local ids = on_mailbox(mailbox)
  local people = #ids + more
  for _, id in ipairs(ids) do
    local patient = people <= CHOICES_MAX and read_patient(id)
    if patient then people = people + #dependents_of(patient) end
  end
  return people <= CHOICES_MAX
end

-- Whom the holders of a proven mailbox may go on as: each of `own` (patients), then those for whom one of them may act:
-- {patient, guardian, ends, workflows}. Nobody stands twice: who may sign in alone needs nobody to act.
local function choices_of(own)
  local found, listed = {}, {}
  for _, patient in ipairs(own) do
    found[#found + 1] = {patient = patient}
    listed[patient.id] = true
  end
  for _, guardian in ipairs(own) do
    for _, relation in ipairs(dependents_of(guardian)) do
      local patient = not listed[relation.id] and #found < CHOICES_MAX and read_patient(relation.id)
      if patient then
        found[#found + 1] = {patient = patient, guardian = guardian, ends = relation.ends, workflows = relation.workflows}
        listed[patient.id] = true
      end
    end
  end
  return found
end

local function choice_of(choices, id)
  for _, choice in ipairs(choices) do
    if choice.patient.id == id then return choice end
  end
end

-- {id, sealed label, …} of the patients themselves, and of those for whom they may act (nil: nobody).
local function listed_choices(choices)
  local own, acting = {}, {}
  for _, choice in ipairs(choices) do
    local list = choice.guardian and acting or own
    list[#list + 1] = choice.patient.id
    list[#list + 1] = choice.patient.label
  end
  return #own > 0 and own or nil, #acting > 0 and acting or nil
end
