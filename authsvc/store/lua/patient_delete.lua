-- Forget a patient: sessions and links end, earlier tokens become inactive with them.
--   limits; id; into (id that takes its place, or absent); audit deleted, merged, session_ended, link_ended
-- Returns {known = bool} | err: rate-limited, patient-not-found

local refused = take(a.limits)
if refused then return refused end
local p = patient_of(a.id)
if not p then return answer({err = 'patient-not-found'}) end
local into = a.into and patient_of(resolve(a.into))
if a.into and (not into or into.id == a.id) then return answer({err = 'patient-not-found'}) end
end_sessions(a.id, a.into and 'merged' or 'deleted')
local links = key('links-of', a.id)
if into then
  call('SET', key('merged', a.id), into.id)
  -- The links become the other patient's own: listed, revoked and ended with that one's.
  for _, id in ipairs(call('SMEMBERS', links)) do
    local l = hash(key('link', id))
    if l.d and not why_dead(l) then
      write_hash(key('link', id), {p = into.id, x = into.idx, s = epoch(), reg = '1'})
    elseif l.d then
      call('HSET', key('link', id), 'p', into.id, 'st', why_dead(l))
    end
    call('SADD', key('links-of', into.id), id)
  end
  local left = call('PTTL', links)
  if left > 0 then keep_until(key('links-of', into.id), now + left) end
  record(a.audit.merged, {patient = a.id, into = into.id})
else
  for _, id in ipairs(call('SMEMBERS', links)) do end_link(id, 'revoked') end
  record(a.audit.deleted, {patient = a.id})
end
if into then call('DEL', links) end
call('DEL', key('patient', a.id))
call('SREM', key('address', p.idx), a.id)
return reply({known = true})
