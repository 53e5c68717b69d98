-- Send a new link in the place of a dead one, to the address on file. The caller learns nothing from the answer.
--
-- uses: mail_throttle links outbox
-- events: link.resent limited
-- args: site_throttle mails_own_quota mails_own_window:int mails_own_step:int
-- args: mails_share_quota mails_share_window:int mails_share_step:int mails_all_quota typed_share
-- args: check_only link_id link_digest kind new_id new_digest mail_id mail_body
-- args: channel every_ms:int resends_max:int delivery_ms tombstone_ms:int limits*5 address_limits*5
--
-- `check_only` is 1 before anything is sealed: then the `limits` alone are counted, which the second call leaves out.
-- One every `every_ms`, `resends_max` for a lineage, on the budget of the address.
-- Replies {}, to a check {sends} where a mail would go | err: rate-limited

local refused = charge(limits)
if refused then return refused end
local link = read_link(link_id)
if not link or link.digest ~= link_digest or link.kind ~= kind then return reply({}) end
if call('EXISTS', key('link', new_id)) == 1 then return reply({}) end
local dead = why_dead(link)
if dead ~= 'expired' and dead ~= 'used_up' then return reply({}) end
local patient = link.patient ~= '' and read_patient(resolve(link.patient))
  or first_signer_on(link.mailbox, tonumber(link.epoch))
if link.patient == '' then channel = 'email' end  -- whoever shares the mailbox
if not patient or lacks_address(patient, channel) or throttled_by('bulk') then return reply({}) end
local root_id = link.root ~= '' and link.root or link.id
local root = read_link(root_id)
if not root or tonumber(root.resends) >= resends_max or now - tonumber(root.resent_at) < every_ms then return reply({}) end
refused = check(limits_of(address_limits, patient.mailbox))  -- not shown: nobody's to know
if refused then return reply({}) end
if check_only == '1' then return reply({sends = true}) end
count(address_limits)
local expires = now + (tonumber(link.life) or link.expires - link.issued)
root.resends, root.resent_at = tonumber(root.resends) + 1, now_text
write(LINK, key('link', root.id), root, math.max(tonumber(root.expires), expires) + tombstone_ms)
save_link({id = new_id, digest = new_digest, patient = link.patient ~= '' and patient.id or '',
  mailbox = patient.mailbox, workflow = link.workflow, kind = kind, resource = link.resource, issued = now_text,
  expires = expires, max_uses = link.max_uses, on_file = '1', channel = channel, client = link.client, root = root_id,
  mailbox_only = '1'}, tombstone_ms)
queue_mail('mails', {id = mail_id, kind = kind == 'access' and 'access-link' or 'new-link', channel = channel,
  patient = patient.id, body = mail_body, locale = patient.locale, ['until'] = expires, basis = 'link:' .. new_id})
record('link.resent', 'link', new_id, 'instead_of', link_id, 'patient', patient.id, 'workflow', link.workflow)
return reply({})
