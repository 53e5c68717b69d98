-- What a link is for, for the page that shows it. Spends nothing, for mail scanners open links too; that it was opened is
-- recorded once an hour.
--
-- uses: audit link_records
-- events: link.opened
-- args: link_id link_digest kind
-- Replies {workflow, client, locale; of an access link also address (sealed) and patient, where its code would go}
-- | err: link-unknown, link-gone (reason)

local OPENED_MS = '3600000'

local link = read_link(link_id)
if not link or link.digest ~= link_digest or link.kind ~= kind then return refuse('link-unknown') end
if call('SET', key('opened', link_id), '1', 'NX', 'PX', OPENED_MS) then
  record('link.opened', 'link', link_id, 'patient', link.patient)
end
local dead = why_dead(link)
if dead then return refuse('link-gone', dead) end
local patient = link.patient ~= '' and read_patient(resolve(link.patient))
local found = {workflow = link.workflow, client = link.client, locale = patient and patient.locale or ''}
if kind == 'access' then
  local signer = patient or first_signer_on(link.mailbox, tonumber(link.epoch))
  found.address, found.patient = signer.address, signer.id
end
return reply(found)
