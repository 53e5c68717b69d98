-- What a redeemed instant link waits for. Changes nothing.
--
-- uses: patients authorization_codes unconfirmed
-- unconfirmed: pending-link pending_id pending_browser call_id
-- args: pending_id pending_browser
-- Replies {link, patient, workflow, resource, client, locale, and address (sealed) where a code could be sent} or {}

local pending = read(PENDING, key('pending-link', pending_id))
if not pending or pending.browser ~= pending_browser or tonumber(pending.expires) <= now then return reply({}) end
if (pending.code or '') ~= '' and not peek_unconfirmed(pending.issuing_call) then return reply({}) end
local patient = read_patient(resolve(pending.patient))
return reply({link = pending.link, patient = patient and patient.id or pending.patient, workflow = pending.workflow,
  resource = pending.resource, client = pending.client, locale = patient and patient.locale or '',
  address = patient and patient.access == '1' and patient.address})
