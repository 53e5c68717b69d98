-- Start a sign-in: charge the limits, find out who is meant, store the challenge, queue the mail, write the audit.
--
--   limits     buckets; typed  true when an address was typed, with idx (its keyed hash); else patient (id)
--   handle     digest of the handle; client, channel (email | webhook | caller), locale, networks
--   pepper, profile, salt, tag, code_until (ms), challenge_until (ms)
--   mail       {id, code_body, link_body, filler, link = {id, d, w, e, m}}: both mails are ready, one is queued
--   budget     {consecutive, day}; brake site flag; delivery_ttl_ms, tombstone_ms, idem (see lib.lua)
--   audit      started, limited
-- Returns {} | {again} | err: rate-limited, patient-not-found, no-portal-access, idempotency-conflict
--
-- By address, what differs between a known and an unknown mailbox is the `void` mark and the address in the outbox.

local again = seen_before()
if again then return again end
if braked(a.typed) then return refuse_braked() end
local refused, left = take(a.limits)
if refused then return refused end

local idx, patient = a.idx, nil
if a.typed then
  patient = eligible_on(idx, epoch())[1]
else
  patient = patient_of(resolve(a.patient))
  if not patient then return answer({err = 'patient-not-found'}) end
  if patient.access ~= '1' then return answer({err = 'no-portal-access'}) end
  idx = patient.idx
end

if a.channel == 'caller' and link_mode(idx) then
  -- In link mode a right code answers like a wrong one, so no code is told that could never be right.
  return refuse_limited('guesses', HOUR_MS, a.budget.day, 86400)
end
local by_link = open_challenge({
  kind = a.typed and 'typed' or 'patient', idx = idx, patient = patient,
  patient_id = a.typed and '' or patient.id, typed_out = a.typed and left['issue-address'] == 0})
mail_challenge(a.typed and 'typed' or 'patient', idx, patient, by_link)
record(a.audit.started, {patient = not a.typed and patient.id or nil, mail = by_link and 'link' or 'code'})
remember()
return reply({})
