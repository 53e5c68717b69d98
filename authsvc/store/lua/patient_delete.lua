-- Forget a patient, or merge it into another (`into`): sessions and links end, and earlier tokens with them. Who may act
-- for whom goes with it, or over to the other patient where that makes no chain.
--
-- uses: retries limits guardianship links
-- events: patient.deleted patient.merged dependent.added dependent.removed session.ended link.ended limited
-- args: id into delivery_ms limits*5
-- Replies {} | err: rate-limited, patient-not-found

local refused = charge(limits)
if refused then return refused end
local patient = read_patient(id)
if not patient then return refuse('patient-not-found') end
local other = into ~= '' and read_patient(resolve(into))
if into ~= '' and (not other or other.id == id) then return refuse('patient-not-found') end
end_sessions(patient, other and 'merged' or 'deleted')
local relations = dependents_of(patient)
for at, relation in ipairs(relations) do
  relations[at] = {id, relation.id, relation.ends, relation.workflows}
end
for _, guardian in ipairs(guardians_of(patient)) do
  local relation = dependent_of(read_patient(guardian), id)
  relations[#relations + 1] = {guardian, id, relation.ends, relation.workflows}
end
for _, relation in ipairs(relations) do unrelate(relation[1], relation[2]) end
for _, relation in ipairs(other and relations or {}) do
  local guardian, dependent = relation[1], relation[2]
  if guardian == id then guardian = other.id else dependent = other.id end
  local first, second = read_patient(guardian), read_patient(dependent)
  if not why_not(first, second) and not dependent_of(first, dependent) then
    relate(guardian, dependent, relation[3], relation[4])
    record('dependent.added', 'patient', dependent, 'guardian', guardian)
  end
end
for _, link_id in ipairs(links_of('p:' .. id)) do
  local link = read_link(link_id)
  if link and other then
    -- The links become the other patient's own: listed, revoked and ended with that one's.
    local dead = why_dead(link)
    if dead then
      link.ended = dead
    else
      link.mailbox, link.epoch, link.on_file = other.mailbox, read_epoch(), '1'
    end
    link.patient = other.id
    rewrite_link(link)
    remember_link('p:' .. other.id, link_id, now + call('PTTL', key('link', link_id)))
  elseif link then
    end_link(link, 'revoked')
  end
end
if other then
  call('SET', key('merged', id), other.id)
  call('HDEL', bucket_of('p:' .. id), 'p:' .. id)
  record('patient.merged', 'patient', id, 'into', other.id)
else
  record('patient.deleted', 'patient', id)
end
call('DEL', key('patient', id))
leave_mailbox(patient.mailbox, id)
return reply_once({})
