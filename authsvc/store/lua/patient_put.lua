-- Create or replace a patient.
--   limits; id, to, idx, label, locale, access; notices {old = {id, body}, new = {id, body}}; delivery_ttl_ms, keep_ms
--   audit created, changed, address_changed, granted, withdrawn, session_ended, link_ended, limited
-- Returns {created = bool} | err: rate-limited
--
-- A different address ends the codes, links and sessions that rest on the old one: sessions here, codes and links
-- because they are older than `addressed`. Withdrawn access ends sessions and access links here, codes by `granted`.

local refused = take(a.limits)
if refused then return refused end
local id = a.id
local k = key('patient', id)
local old = patient_of(id)
local moved = old and old.idx ~= a.idx
local granted = a.access == '1' and (not old or old.access ~= '1')
local withdrawn = a.access ~= '1' and old and old.access == '1'

local function fresh()
  return call('INCR', key('epoch'))
end

write_hash(k, {to = a.to, idx = a.idx, label = a.label, locale = a.locale, access = a.access,
  addressed = (not old or moved) and fresh() or old.addressed,
  granted = (granted or not old) and fresh() or old.granted,
  created = old and old.created or now})
call('SADD', key('address', a.idx), id)
call('DEL', key('merged', id))  -- an id that is put on file again means this patient, not the one it was merged into
if not old then record(a.audit.created, {patient = id}) end
if moved then
  call('SREM', key('address', old.idx), id)
  record(a.audit.address_changed, {patient = id})
  end_sessions(id, 'address_changed')
  -- Links are found out when they are used; the tokens they gave are told to those who verify offline.
  for _, link in ipairs(call('SMEMBERS', key('links-of', id))) do feed('l', link) end
  for _, n in ipairs({{a.notices.old, old.to, old.locale}, {a.notices.new, a.to, a.locale}}) do
    enqueue({id = n[1].id, kind = 'address-changed', channel = 'email', patient = id, to = n[2], body = n[1].body,
      locale = n[3], until_ms = now + a.keep_ms, void = false})
  end
end
if granted then record(a.audit.granted, {patient = id}) end
if withdrawn then
  record(a.audit.withdrawn, {patient = id})
  end_sessions(id, 'access_withdrawn')
  for _, link in ipairs(call('SMEMBERS', key('links-of', id))) do
    if call('HGET', key('link', link), 'k') == 'access' then end_link(link, 'revoked') end
  end
end
if old and not moved and not granted and not withdrawn then record(a.audit.changed, {patient = id}) end
return reply({created = not old})
