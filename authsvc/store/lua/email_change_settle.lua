-- Compare the hashed code, and on a match put the patient on the mailbox that it has proven.
--
-- uses: settle mailboxes
-- unconfirmed: code challenge client call_id
-- events: patient.address_changed patient.changed code.missed challenge.gone session.ended link.ended limited
-- args: challenge client tag link_mode hour attempts_left after replay_ms:int delivery_ms
-- args: site_throttle mails_own_quota mails_own_window:int mails_own_step:int
-- args: mails_share_quota mails_share_window:int mails_share_step:int mails_all_quota typed_share
-- args: old_notice_id old_notice_body new_notice_id new_notice_body notice_until:int change_limits*5 notice_limits*5
--
-- `link_mode`, `hour` and `attempts_left` come from code_charge. What rests on the old address ends first, some at a time:
-- `after` is empty, then the `more` of the call before.
-- Replies {id, address, label, locale, access} | {more} | err: rate-limited (changes of one patient),
-- invalid-code (reason, attempts_left), challenge-gone (reason), too-many-patients (on the new mailbox)

local known = read_challenge()

local function patient_reply(patient)
  return reply({id = patient.id, address = patient.address, label = patient.label, locale = patient.locale,
    access = patient.access})
end

if not known or known.client ~= client or known.kind ~= EMAIL_CHANGE then return challenge_gone('unknown') end
if known.state ~= '' then
  local refused = refuse_late(known)
  if refused then return refused end
  local patient = read_patient(known.patient)
  if not patient or patient.mailbox ~= known.mailbox then return challenge_gone('spent') end
  rewrite_challenge(known)
  return patient_reply(patient)
end
if tonumber(known.expires) <= now then return challenge_gone('expired') end
if not is_live_tag(known, tag) then return missed(known, 'wrong') end
if link_mode == '1' then return missed(known, 'link_mode') end
local patient = signers(known)[1]
if not patient then return challenge_gone('superseded') end
local moved = patient.mailbox ~= known.mailbox
if moved then
  local refused = check(limits_of(change_limits, patient.id))
  if refused then return refused end
  if not has_room(known.mailbox, 1 + #dependents_of(patient)) then return refuse('too-many-patients') end
  local more = patient.address ~= '' and end_some(patient, 'address_changed', known.stays, after)
  if more then return reply({more = more}) end
  patient = read_patient(patient.id)  -- anew: to end a session changes it
  count(change_limits)
  join_mailbox(known.mailbox, patient.id)
end

clear_misses(known, hour)
known.state, known.winning_tag, known.won_at, known.replays = 'won', tag, now_text, '0'
rewrite_challenge(known)
local former = {address = patient.address, mailbox = patient.mailbox, locale = patient.locale}
patient.address, patient.mailbox = known.address, known.mailbox
if moved then patient.addressed = next_epoch() end
write_patient(patient)
if moved then
  leave_former(patient, former, 'code')
else
  record('patient.changed', 'patient', patient.id)
end
return patient_reply(patient)
