-- Who is signed in: the live sessions of a patient. Drops what has gone from the index.
--   limits, patient, idle_ms
-- Returns {sessions = [{id, p, c, o, l, e}]} | err: rate-limited, patient-not-found

local refused = take(a.limits)
if refused then return refused end
local id = resolve(a.patient)
if not patient_of(id) then return answer({err = 'patient-not-found'}) end
local out, index = {}, key('sessions', id)
for _, sid in ipairs(call('ZRANGE', index, '0', '-1')) do
  local s = hash(key('session', sid))
  if not s.p then
    call('ZREM', index, sid)
  elseif alive(s, a.idle_ms) then
    out[#out + 1] = {id = sid, p = s.p, c = s.c, o = s.o, l = s.l, e = s.e}
  end
end
return answer({sessions = #out > 0 and out or nil})
