-- Exchange an access link: a challenge is started and its code goes to the address on file.
--
-- uses: idempotency mail_throttle start_challenge unconfirmed
-- unconfirmed: access-link link_id client call_id
-- events: link.exchanged link.refused code.started limited
-- args: site_throttle mails_own_quota mails_own_window:int mails_own_step:int
-- args: mails_share_quota mails_share_window:int mails_share_step:int mails_all_quota typed_share
-- args: misses_consecutive:int misses_per_day:int misses_by_links_per_day:int
-- args: check_only link_id link_digest
-- args: challenge client channel locale networks pepper profile salt tag code_until challenge_until
-- args: mail_id mail_body delivery_ms tombstone_ms:int
-- args: access_link_id access_link_digest access_link_workflow access_link_expires access_link_max_uses
-- args: idempotency_id idempotency_body idempotency_answer idempotency_ms limits*5 patient_limits*5
--
-- `check_only` is 1 before anything is hashed or sealed: what is refused is refused then, and else only the `limits` are counted, which the second call leaves out.
-- Replies {address (sealed), patient} | {earlier_answer} | err: rate-limited, link-unknown, link-gone (reason),
-- no-address, idempotency-conflict

local earlier = idempotent_reply()
if earlier then return earlier end
local refused = charge(limits)
if refused then return refused end
local link = read_link(link_id)
if not link or link.digest ~= link_digest or link.kind ~= 'access' then
  record('link.refused', 'reason', 'unknown')
  return refuse('link-unknown')
end
local known_unconfirmed = check_only == '1' and peek_unconfirmed or take_unconfirmed
local dead = link.last_call ~= call_id and why_dead(link)
local again = link.last_call ~= call_id and known_unconfirmed(link.last_call)
if dead and not (again and dead == 'used_up') then
  record('link.refused', 'reason', dead, 'link', link_id, 'patient', link.patient)
  return refuse('link-gone', dead)
end
local patient_id = link.patient ~= '' and resolve(link.patient) or ''
local patient = patient_id ~= '' and read_patient(patient_id) or first_signer_on(link.mailbox, tonumber(link.epoch))
if link.last_call == call_id then return reply({address = patient.address, patient = patient.id}) end
if lacks_address(patient, channel) then return refuse('no-address') end
refused = throttled('code')
if refused then return refused end
-- A link that was only ever mailed has a budget of its own: nobody who starts sign-ins elsewhere can spend it.
local whose = link.mailbox_only == '1' and link_id or patient_id ~= '' and patient_id or link.mailbox
refused = check(limits_of(patient_limits, whose))
if refused then return refused end
if check_only == '1' then return reply({}) end
count(patient_limits)
link.uses, link.last_call = tonumber(link.uses) + (again and 0 or 1), call_id
rewrite_link(link)
if patient_id == '' and channel == 'webhook' then channel = 'email' end  -- whoever shares the mailbox
open_challenge('link', patient.mailbox, patient_id, patient, link_id)
local by_link = links_in_link_mode(link, patient.mailbox)
mail_challenge('link', patient.mailbox, patient, by_link)
record('link.exchanged', 'link', link_id, 'patient', link.patient, 'workflow', link.workflow)
record('code.started', 'patient', patient_id, 'mail', by_link and 'link' or 'code')
keep_answer()
return reply({address = patient.address, patient = patient.id})
