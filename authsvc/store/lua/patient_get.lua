-- Read a patient.
--   limits, id; audit viewed (where it is to be recorded who looked)
-- Returns {patient = {id, to, idx, label, locale, access}, guess = {consecutive, day}} | err: rate-limited, patient-not-found

local refused = take(a.limits)
if refused then return refused end
local p = patient_of(resolve(a.id))
if not p then return answer({err = 'patient-not-found'}) end
if a.audit.viewed then record(a.audit.viewed, {patient = p.id}) end
local consecutive, day = misses(p.idx)
return answer({patient = {id = p.id, to = p.to, idx = p.idx, label = p.label, locale = p.locale, access = p.access},
  guess = {consecutive = consecutive, day = day}})
