-- Forget a patient, or merge it into another (`into`): sessions and links end, and earlier tokens with them. Who may act
-- for whom goes with it, or over to the other patient where that makes no chain.
--
-- uses: retries limits guardianship links storage
-- events: patient.deleted patient.merged dependent.added dependent.removed session.ended link.ended limited
-- args: id into after delivery_ms limits*5
--
-- Sessions, relations and links first, some at a time: `after` is empty, then the `more` of the call before.
-- Replies {} | {more} | err: rate-limited, patient-not-found, too-many-links (of both, where they are merged)

local RELATIONS_AT_ONCE = 2  -- each costs hundreds of commands where everybody has as many as there may be

local refused = charge(limits)
if refused then return refused end
local patient = read_patient(id)
if not patient then return refuse('patient-not-found') end
local other = into ~= '' and read_patient(resolve(into))
if into ~= '' and (not other or other.id == id) then return refuse('patient-not-found') end
if other and after == '' and is_full('p:' .. other.id, #links_of('p:' .. id)) then return refuse('too-many-links') end

local function later(cursor)
  return reply_once({more = cursor ~= '' and cursor or '-'})
end

local _, left = end_sessions(patient, other and 'merged' or 'deleted')
if left or sessions_ended > 5 then return later(after) end

local relations = {}
local function add(guardian, dependent, relation)
  -- That of the two to each other goes first: it would forbid the other ones.
  local at = other and (guardian == other.id or dependent == other.id) and 1 or #relations + 1
  table.insert(relations, at, {guardian, dependent, relation.ends, relation.workflows})
end
for _, relation in ipairs(dependents_of(patient)) do add(id, relation.id, relation) end
for _, guardian in ipairs(guardians_of(patient)) do add(guardian, id, dependent_of(read_patient(guardian), id)) end
for at, relation in ipairs(relations) do
  if at > RELATIONS_AT_ONCE then break end
  local guardian, dependent = relation[1], relation[2]
  unrelate(guardian, dependent)
  if other then
    if guardian == id then guardian = other.id else dependent = other.id end
    local first, second = read_patient(guardian), read_patient(dependent)
    if not why_not(first, second) and not dependent_of(first, dependent) then
      relate(guardian, dependent, relation[3], relation[4])
      record('dependent.added', 'patient', dependent, 'guardian', guardian)
    end
  end
end

if #relations > 0 then return later(after) end

local ids, more = some_links_of('p:' .. id, after, LINKS_AT_ONCE)
local moved = {}
for _, link_id in ipairs(ids) do
  local link = read_link(link_id)
  if link and other and link.patient ~= other.id then  -- else a merge that was cut off has moved it
    -- The links become the other patient's own: listed, revoked and ended with that one's.
    local dead = why_dead(link)
    if dead then
      link.ended = dead
    else
      link.mailbox, link.epoch, link.on_file = other.mailbox, read_epoch(), '1'
    end
    link.patient = other.id
    rewrite_link(link)
    moved[#moved + 1] = remembered_as(link_id, now + call('PTTL', key('link', link_id)))
  elseif link and not other then
    end_link(link, 'revoked')
  end
end
if #moved > 0 then remember_links('p:' .. other.id, moved) end
if more then return later(more) end

if other then
  call('SET', key('merged', id), other.id)
  call('HDEL', bucket_of('p:' .. id), 'p:' .. id)
  record('patient.merged', 'patient', id, 'into', other.id)
else
  record('patient.deleted', 'patient', id)
end
call('DEL', key('patient', id))
count_storage((other and BYTES.merged or 0) - BYTES.patient - BYTES.relation * #items(patient.dependents))
leave_mailbox(patient.mailbox, id)
return reply_once({})
