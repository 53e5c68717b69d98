-- Exchange a link's token: an instant link for its record, an access link for a challenge at the address on file.
--
--   limits, client; id, d (public id and digest of the token); k kind the token's prefix claims
--   for access links all of challenge_start's handle … mail, and by_patient {quota, window_s}
--   for instant links at the hosted page: landing {id (digest of the hint), browser (digest), target, until (ms)}
--   idem (absent: every exchange is one of its own); audit exchanged, refused, started, limited
-- Returns {link = {...}} | {to = sealed address, patient} | {again} | err: rate-limited, link-unknown,
--   link-gone (reason), idempotency-conflict

local again = seen_before()
if again then return again end
local refused = take(a.limits)
if refused then return refused end
local l = hash(key('link', a.id))
if l.d ~= a.d or l.k ~= a.k then
  record(a.audit.refused, {reason = 'unknown'})
  return answer({err = 'link-unknown'})
end
local dead = why_dead(l)
if dead then
  record(a.audit.refused, {reason = dead, link = a.id, patient = l.p})
  return answer({err = 'link-gone', reason = dead})
end

if l.k == 'access' then
  if braked(false) then return refuse_braked() end
  local patient_id = l.p ~= '' and resolve(l.p) or ''
  local p = patient_id ~= '' and patient_of(patient_id) or eligible_on(l.x, tonumber(l.s))[1]
  refused = take({{'issue-patient', patient_id ~= '' and patient_id or l.x, a.by_patient[1], a.by_patient[2], true}})
  if refused then return refused end
  call('HINCRBY', key('link', a.id), 'u', '1')
  open_challenge({kind = 'link', idx = p.idx, patient = p, patient_id = patient_id, link = a.id})
  mail_challenge('link', p.idx, p, false)
  record(a.audit.exchanged, {link = a.id, patient = l.p, workflow = l.w})
  record(a.audit.started, {patient = patient_id ~= '' and patient_id or nil, mail = 'code'})
  remember()
  return reply({to = p.to, patient = p.id})
end

l.u = call('HINCRBY', key('link', a.id), 'u', '1')
l.p = resolve(l.p)
record(a.audit.exchanged, {link = a.id, patient = l.p, workflow = l.w})
-- landing:<digest of the hint> hash: what the practice's own page fetches with an authorization code, by this browser
-- alone: l link, p patient, w workflow, r resource, ch channel, b browser, c the client it waits for, o pressed,
-- e expires
if a.landing then
  local k = key('landing', a.landing.id)
  write_hash(k, {l = a.id, p = l.p, w = l.w, r = l.r, ch = l.ch, b = a.landing.browser, c = a.landing.target,
    o = now, e = a.landing['until']})
  keep_until(k, a.landing['until'])
end
remember()
return reply({link = {p = l.p, w = l.w, r = l.r, ch = l.ch}})
