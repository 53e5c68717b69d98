-- Clear the guess budgets of a patient's mailbox: an operator has spoken with the patient.
--   id; audit unlocked
-- Returns {} | err: patient-not-found

local p = patient_of(resolve(a.id))
if not p then return answer({err = 'patient-not-found'}) end
call('DEL', key('guess', p.idx))
record(a.audit.unlocked, {patient = p.id})
return reply({})
