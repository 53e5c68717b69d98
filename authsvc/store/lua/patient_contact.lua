-- Where a patient can be reached, and in which language. Changes nothing.
--
-- uses: patients
-- args: id
-- Replies {locale (empty: none, or not on file), and patient, address and label (sealed) where a code could be sent}

local patient = read_patient(resolve(id))
local reachable = patient and patient.access == '1'
return reply({locale = patient and patient.locale or '', patient = reachable and patient.id,
  address = reachable and patient.address, label = reachable and patient.label})
