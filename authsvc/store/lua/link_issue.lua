-- Issue a link and, for delivery by email, queue its mail.
--
--   limits; link {id, d, p, w, k, r, e, m ('' or number), ch, life}; tombstone_ms
--   mail {id, kind, body} or absent (the caller composes its own mail); locale, brake, delivery_ttl_ms, idem
--   audit issued, limited
-- Returns {} | {again} | err: rate-limited, patient-not-found, no-portal-access, idempotency-conflict

local again = seen_before()
if again then return again end
if a.mail and braked(false) then return refuse_braked() end
local refused = take(a.limits)
if refused then return refused end

local l = a.link
l.p = resolve(l.p)
local p = patient_of(l.p)
if not p and (a.mail or l.k == 'access') then return answer({err = 'patient-not-found'}) end
if l.k == 'access' and p.access ~= '1' then return answer({err = 'no-portal-access'}) end

local id, expires = l.id, l.e
l.x, l.reg = p and p.idx or '', p and '1' or '0'
l.t, l.b, l.root, l.n, l.at = now, 0, l.id, 0, 0
save_link(l, a.tombstone_ms)
if a.mail then
  enqueue({id = a.mail.id, kind = a.mail.kind, channel = 'email', patient = p.id, to = p.to, body = a.mail.body,
    locale = a.locale ~= '' and a.locale or p.locale, until_ms = expires, void = false})
end
record(a.audit.issued, {patient = l.p, link = id, workflow = l.w, resource = l.r ~= '' and l.r or nil})
remember()
return reply({})
