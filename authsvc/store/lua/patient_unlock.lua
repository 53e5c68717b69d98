-- Clear the misses of a patient's mailbox: an operator has spoken with the patient.
--
-- uses: audit patients
-- events: patient.unlocked
-- args: id
-- Replies {} | err: patient-not-found

local patient = read_patient(resolve(id))
if not patient then return refuse('patient-not-found') end
call('DEL', key('guesses', patient.mailbox), key('guesses-by-links', patient.mailbox))
record('patient.unlocked', 'patient', patient.id)
return reply({})
