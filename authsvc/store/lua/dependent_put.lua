-- Let a patient act for another one, or change until when and with what.
--
-- uses: retries limits guardianship
-- events: dependent.added dependent.changed session.ended limited
-- args: storage_max:int guardian dependent ends workflows delivery_ms limits*5
--
-- `ends` and `workflows` as in `dependents.lua`. What rests on another answer than this one ends.
-- Replies {created, guardian, dependent} | {more} (call again without limits: some sessions are left) | err: rate-limited, patient-not-found, dependent-chain, too-many-dependents,
-- storage-full

fetch_with(limits, {key('merged', guardian), key('patient', guardian), key('merged', dependent),
  key('patient', dependent), KEYS[1] .. 'storage'})
local refused = charge(limits)
if refused then return refused end
local holder, other = read_patient(resolve(guardian)), read_patient(resolve(dependent))
if not holder or not other then return refuse('patient-not-found') end
local denied = why_not(holder, other)
if denied then return refuse(denied) end
local old = dependent_of(holder, other.id)
refused = not old and full_storage()
if refused then return refused end
if not old or old.ends ~= ends or old.workflows ~= workflows then
  if old and end_acting(holder, other.id, 'dependent_changed') then return reply_once({more = true}) end
  relate(holder.id, other.id, ends, workflows)
  record(old and 'dependent.changed' or 'dependent.added', 'patient', other.id, 'guardian', holder.id)
end
return reply_once({created = not old, guardian = holder.id, dependent = other.id})
