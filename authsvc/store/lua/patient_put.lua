-- Create or replace a patient.
--
-- uses: retries limits mailboxes storage
-- events: patient.created patient.changed patient.address_changed patient.granted patient.withdrawn session.ended link.ended limited
-- args: check_only storage_max:int id address mailbox label locale access after old_notice_id old_notice_body new_notice_id new_notice_body
-- args: site_throttle mails_own_quota mails_own_window:int mails_own_step:int
-- args: mails_share_quota mails_share_window:int mails_share_step:int mails_all_quota typed_share
-- args: notice_until:int delivery_ms limits*5 change_limits*5 notice_limits*5
--
-- `check_only` is 1 before anything is sealed, where the practice's storage was full a moment ago.
-- `address` and `mailbox` are empty for a patient without an address.
-- Another address ends the codes, links and sessions that rest on the old one: sessions and links before it is written,
-- some at a time, codes because they are older than `addressed`. Changes are limited by patient, notices by mailbox: a stranger who gets them has asked
-- for none. Withdrawn access ends sessions and access links likewise, codes by `granted`.
-- Sessions in which this patient acts for a dependent are among them; one in which a guardian acts for this patient isn't.
-- `after` is empty, then the `more` of the call before, which has charged `limits`.
-- Replies {created, full (there may be no room for another one)} | {more} | err: rate-limited, storage-full (for a new one), too-many-patients (on this mailbox)

fetch_with(limits, {key('patient', id), KEYS[1] .. 'storage'})
local refused = check(limits)
if refused then return refused end
local old = read_patient(id)
refused = not old and full_storage()
if check_only == '1' and not refused then return reply({}) end
count(limits)
if refused then return refused end
if mailbox == '' then mailbox = 'none:' .. id end
local moved = old and old.mailbox ~= mailbox
local granted = access == '1' and (not old or old.access ~= '1')
if moved then
  refused = check(change_limits)
  if refused then return refused end
end
local withdrawn = access ~= '1' and old and old.access == '1'
if (not old or moved) and not has_room(mailbox, 1 + #(old and dependents_of(old) or {})) then
  return refuse('too-many-patients')
end
local readdressed = moved and old.address ~= ''
refused = readdressed and throttled('bulk')  -- no change without its notices
if refused then return refused end
if readdressed or withdrawn then
  local more = end_some(old, readdressed and 'address_changed' or 'access_withdrawn', '', after)
  if more then return reply_once({more = more}) end
  old = read_patient(id)  -- anew: to end a session changes it
end
if moved then count(change_limits) end
if not old or moved then join_mailbox(mailbox, id) end

local patient = old or {id = id, created = now_text, sessions = ''}
local former = {address = patient.address, mailbox = patient.mailbox, locale = patient.locale}
patient.address, patient.mailbox, patient.label, patient.locale, patient.access = address, mailbox, label, locale, access
if not old or readdressed then patient.addressed = next_epoch() end
if not old or granted then patient.granted = next_epoch() end
write_patient(patient)
-- An id that is put on file again means this patient, not the one it was merged into.
local more = (old and 0 or BYTES.patient) - BYTES.merged * call('DEL', key('merged', id))
if more ~= 0 then count_storage(more) end
if not old then record('patient.created', 'patient', id) end
if moved then leave_former(patient, former, '') end
if granted then record('patient.granted', 'patient', id) end
if withdrawn then record('patient.withdrawn', 'patient', id) end
if old and not moved and not granted and not withdrawn then record('patient.changed', 'patient', id) end
-- The caller asks before it seals the next one, where that may have no room.
return reply_once({created = not old, full = not old and used_before + 3 * BYTES.patient >= storage_max})
