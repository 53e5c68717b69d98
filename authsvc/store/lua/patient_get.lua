-- Read a patient, with the misses of the mailbox.
--
-- uses: limits patients guesses
-- events: patient.viewed limited
-- args: id viewed limits*5
-- `viewed` is 1 where it is to be recorded who looked.
-- Replies {id, address, label, locale, access, consecutive, day} | err: rate-limited, patient-not-found

local refused = charge(limits)
if refused then return refused end
local patient = read_patient(resolve(id))
if not patient then return refuse('patient-not-found') end
if viewed == '1' then record('patient.viewed', 'patient', patient.id) end
local consecutive, day = count_misses(patient.mailbox)
return reply({id = patient.id, address = patient.address, label = patient.label, locale = patient.locale,
  access = patient.access, consecutive = consecutive, day = day})
