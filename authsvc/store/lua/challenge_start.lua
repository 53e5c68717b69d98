-- Start a sign-in: check the limits, find out who is meant, keep the challenge, queue its mail.
--
-- uses: idempotency mail_throttle start_challenge
-- events: code.started limited
-- seldom: save_link forget_oldest_delivery refuse_limited refuse_by refuse stops read_epoch on_mailbox first_signer_on
-- args: check_only typed patient mailbox site_throttle mails_own_quota mails_own_window:int mails_own_step:int
-- args: mails_share_quota mails_share_window:int mails_share_step:int mails_all_quota typed_share
-- args: misses_consecutive:int misses_per_day:int misses_by_links_per_day:int
-- args: challenge client channel locale networks pepper profile salt tag code_until challenge_until
-- args: mail_id mail_body delivery_ms tombstone_ms:int
-- args: access_link_id access_link_digest access_link_workflow access_link_expires access_link_max_uses
-- args: idempotency_id idempotency_body idempotency_answer idempotency_ms limits*5 patient_limits*5
--
-- `check_only` is 1 before anything is hashed or sealed: what is refused is refused then, and else nothing is counted yet.
-- `typed` is 1 where an address was typed, which `mailbox` is the hash of; else `patient` is named. `tag` is the hash of
-- the code. `access_link_…` is what the mail carries where no code may be sent.
-- Replies {} | {earlier_answer} | err: rate-limited, patient-not-found, no-portal-access,
-- no-address, idempotency-conflict
--
-- By webhook a code reaches one patient, not whoever shares the mailbox: a typed address that several patients share gets
-- a mail, and what is sent for a single one signs in that one.
--
-- What differs between a known and an unknown mailbox is the mark in the message, and whose message it is.

local earlier = idempotent_reply()
if earlier then return earlier end
local wanted = {key('challenge', challenge), KEYS[1] .. 'mail-count', KEYS[1] .. 'epoch'}
if typed == '1' then
  wanted[4] = key('mailbox', mailbox)
else
  wanted[4], wanted[5] = key('merged', patient), key('patient', patient)
end
for _, bucket in ipairs(limits_of(patient_limits, patient)) do limits[#limits + 1] = bucket end
fetch_with(limits, wanted)
if get(key('challenge', challenge)) then return reply({}) end
local refused = throttled(typed == '1' and 'typed' or 'code')
if refused then return refused end
if typed ~= '1' then
  local named = patient
  patient = resolve(named)
  if patient ~= named then limits_of(patient_limits, patient) end
end
refused = check(limits)
if refused then return refused end

local known
if typed == '1' then
  known = first_signer_on(mailbox, read_epoch())
else
  known = read_patient(patient)
  if not known then
    count(limits)
    return refuse('patient-not-found')
  end
  if known.access ~= '1' then
    count(limits)
    return refuse('no-portal-access')
  end
  if lacks_address(known, channel) then
    count(limits)
    return refuse('no-address')
  end
  mailbox = known.mailbox
end

local by_link = in_link_mode(mailbox)
if by_link and channel == 'caller' then
  -- In link mode a right code answers like a wrong one, so no code is shown that could never be right.
  count(limits)
  return refuse_limited('guesses', HOUR_MS, misses_per_day, 86400)
end
by_link = by_link or (typed == '1' and is_used_up(limits, 'issue-address', 'issue-address-day'))
if check_only == '1' then return reply({}) end
count(limits)
local kind = typed == '1' and 'typed' or 'patient'
local patient_id = known and known.id or ''
if typed == '1' then
  if channel == 'webhook' and #on_mailbox(mailbox) > 1 then channel = 'email' end
  if channel ~= 'webhook' then patient_id = '' end
end
open_challenge(kind, mailbox, patient_id, known, '')
mail_challenge(kind, mailbox, known, by_link)
record('code.started', 'patient', typed ~= '1' and known.id or '', 'mail', by_link and 'link' or 'code')
keep_answer()
return reply({})
