-- Forget a patient, or merge it into another (`into`): sessions and links end, and earlier tokens with them.
--
-- uses: retries limits sessions links
-- events: patient.deleted patient.merged session.ended link.ended limited
-- args: id into delivery_ms limits*5
-- Replies {} | err: rate-limited, patient-not-found

local refused = charge(limits)
if refused then return refused end
local patient = read_patient(id)
if not patient then return refuse('patient-not-found') end
local other = into ~= '' and read_patient(resolve(into))
if into ~= '' and (not other or other.id == id) then return refuse('patient-not-found') end
end_sessions(patient, other and 'merged' or 'deleted')
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
