-- Issue a link and, for delivery by email, queue its mail.
--
-- uses: idempotency mail_throttle links outbox storage
-- events: link.issued limited
-- seldom: refuse_by refuse throttled queue_mail refuse_limited limits_of lacks_address is_still_full remembered
-- args: site_throttle mails_own_quota mails_own_window:int mails_own_step:int
-- args: mails_share_quota mails_share_window:int mails_share_step:int mails_all_quota typed_share
-- args: check_only storage_max:int link_id link_digest patient workflow kind resource expires:int max_uses channel client
-- args: mail_id mail_kind mail_body locale delivery_ms tombstone_ms:int
-- args: idempotency_id idempotency_body idempotency_answer idempotency_ms limits*5 mail_limits*5
--
-- `check_only` is 1 before anything is hashed or sealed: what is refused is refused then, and else nothing is counted yet.
-- Without a `mail_id` the caller composes its own mail, and the patient of an instant link need not be on file.
-- Replies {} | {earlier_answer} | err: rate-limited, too-many-links, storage-full, patient-not-found, no-portal-access,
-- no-address, idempotency-conflict

local earlier = idempotent_reply()
if earlier then return earlier end
fetch_with(limits, {key('link', link_id), key('merged', patient), key('patient', patient), KEYS[1] .. 'epoch',
  KEYS[1] .. 'storage'})
if get(key('link', link_id)) then return reply({}) end
patient = resolve(patient)
if mail_id ~= '' then
  for _, bucket in ipairs(limits_of(mail_limits, patient)) do limits[#limits + 1] = bucket end
end
local refused = mail_id ~= '' and throttled('bulk') or nil
if refused then return refused end
refused = check(limits)
if refused then return refused end

local known = read_patient(patient)
local function why_not()
  if not known and (mail_id ~= '' or kind == 'access') then return 'patient-not-found' end
  if kind == 'access' and known.access ~= '1' then return 'no-portal-access' end
  if mail_id ~= '' and lacks_address(known, channel) then return 'no-address' end
  if is_full('p:' .. patient, 1) or (resource ~= '' and is_full('r:' .. resource, 1)) then return 'too-many-links' end
end
local denied = why_not()
refused = denied and refuse(denied) or full_storage()
if check_only == '1' and not refused then return reply({}) end
count(limits)
if refused then return refused end
save_link({id = link_id, digest = link_digest, patient = patient, mailbox = known and known.mailbox or '',
  workflow = workflow, kind = kind, resource = resource, issued = now_text, expires = expires, max_uses = max_uses,
  on_file = known and '1' or '', channel = channel, client = client}, tombstone_ms)
if mail_id ~= '' then
  queue_mail('mails', {id = mail_id, kind = mail_kind, channel = channel, patient = known.id, body = mail_body,
    locale = locale ~= '' and locale or known.locale, ['until'] = expires, basis = 'link:' .. link_id})
end
record('link.issued', 'patient', patient, 'link', link_id, 'workflow', workflow, 'resource', resource)
keep_answer()
return reply({})
