-- Start a challenge and queue its mail, from the arguments that every start has.
-- uses: challenges mail_throttle

-- `address` and `stays` of a change of the address; else nil.
local function open_challenge(kind, mailbox, patient_id, known, link_id, address, stays)
  write(CHALLENGE, key('challenge', challenge), {client = client, kind = kind, mailbox = mailbox, patient = patient_id,
    link = link_id, networks = networks, pepper = pepper, profile = profile, salt = salt,
    code1 = tag .. '|' .. code_until, expires = challenge_until, attempts = '0', sent = now_text, resends = '0',
    epoch = get(KEYS[1] .. 'epoch') or '0', channel = channel, locale = locale, unknown = known and '' or '1', replays = '0',
    last_call = call_id, address = address, stays = stays}, challenge_until)
end

-- Queue the mail of a challenge: its code, or an access link to the same mailbox (`access_link_…`). The sealed body holds
-- both; the kind says which of them is sent. `address`: the new one, of a change of the address.
local function mail_challenge(kind, mailbox, patient, by_link, address)
  if channel == 'caller' then return end
  local message = {id = mail_id, kind = 'code', channel = channel, patient = patient and patient.id or '',
    body = mail_body, locale = locale, ['until'] = code_until, nobody = patient and '' or '1',
    basis = 'challenge:' .. challenge}
  if address then message.kind, message.address = kind, address end
  if patient and locale == '' then message.locale = patient.locale end
  if by_link then
    message.kind, message['until'], message.basis = 'access-link', access_link_expires, 'link:' .. access_link_id
    -- A typed mailbox may be shared: then the link means the mailbox, and the patient is chosen after the code. It is
    -- read for an unknown address too, so that both cost the same.
    local alone = #on_mailbox(mailbox) == 1
    local sole = patient and (kind ~= 'typed' or alone or channel == 'webhook')
    save_link({id = access_link_id, digest = access_link_digest, patient = sole and patient.id or '', mailbox = mailbox,
      workflow = access_link_workflow, kind = 'access', resource = '', issued = now_text, expires = access_link_expires,
      max_uses = access_link_max_uses, channel = channel, client = client, on_file = '1',
      mailbox_only = '1'}, patient and tombstone_ms or 0, not patient)
  end
  queue_mail('codes', message)
end
