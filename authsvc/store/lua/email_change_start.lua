-- Start a change of a patient's email address: a code goes to the new mailbox, and nothing has changed yet.
--
-- uses: idempotency mail_throttle start_challenge
-- events: patient.address_change_started limited
-- args: check_only patient mailbox address stays
-- args: site_throttle mails_own_quota mails_own_window:int mails_own_step:int
-- args: mails_share_quota mails_share_window:int mails_share_step:int mails_all_quota typed_share
-- args: misses_consecutive:int misses_per_day:int
-- args: challenge client channel locale networks pepper profile salt tag code_until challenge_until
-- args: mail_id mail_body delivery_ms tombstone_ms:int
-- args: access_link_id access_link_digest access_link_workflow access_link_expires access_link_max_uses
-- args: idempotency_id idempotency_body idempotency_answer idempotency_ms limits*5
--
-- `check_only` is 1 before anything is hashed or sealed: what is refused is refused then, and else nothing is counted yet.
-- `mailbox` and `address` (sealed) are the new ones, `stays` is the session that shall not end. Whose the new mailbox is
-- already isn't looked at. No link is ever sent in a code's place: it would sign in whoever is on that mailbox.
-- Replies {} | {earlier_answer} | err: rate-limited, patient-not-found, idempotency-conflict

local earlier = idempotent_reply()
if earlier then return earlier end
if call('EXISTS', key('challenge', challenge)) == 1 then return reply({}) end
local refused = throttled('typed')
if refused then return refused end
refused = check(limits)
if refused then return refused end
local known, closed = read_patient(patient), in_link_mode(mailbox)
if check_only == '1' and known and not closed then return reply({}) end
count(limits)
if not known then return refuse('patient-not-found') end
if closed then return refuse_limited('guesses', HOUR_MS, misses_per_day, 86400) end
open_challenge(EMAIL_CHANGE, mailbox, known.id, known, '', address, stays)
mail_challenge(EMAIL_CHANGE, mailbox, known, false, address)
record('patient.address_change_started', 'patient', known.id)
keep_answer()
return reply({})
