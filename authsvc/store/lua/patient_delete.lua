-- Forget a patient: sessions and links end, earlier tokens become inactive with them.
--   limits; id; into (id that takes its place, or absent); merge_ttl_ms; audit deleted, merged, session_ended, link_ended
-- Returns {known = bool} | err: rate-limited, patient-not-found

local refused = take(a.limits)
if refused then return refused end
local p = patient_of(a.id)
if not p then return answer({err = 'patient-not-found'}) end
if a.into and not patient_of(a.into) then return answer({err = 'patient-not-found', which = 'into'}) end
end_sessions(a.id, a.into and 'merged' or 'deleted')
if a.into then
  call('SET', key('merged', a.id), a.into)
  record(a.audit.merged, {patient = a.id, into = a.into})
else
  for _, id in ipairs(call('SMEMBERS', key('links-of', a.id))) do end_link(id, 'revoked') end
  record(a.audit.deleted, {patient = a.id})
end
call('DEL', key('patient', a.id))
call('SREM', key('address', p.idx), a.id)
return reply({known = true})
