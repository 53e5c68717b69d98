-- What a link is for, for the page that shows it. Changes nothing, for mail scanners open links too; that it was opened
-- is noted once an hour.
--   id, d, k (see link_exchange); audit opened
-- Returns {w = workflow, c = client that issued it, loc = the patient's locale; of an access link also to = sealed
-- address that its code would go to, and patient} | err: link-unknown, link-gone (reason)

local NOTED_MS = '3600000'

local l = hash(key('link', a.id))
if l.d ~= a.d or l.k ~= a.k then return answer({err = 'link-unknown'}) end
if a.audit.opened and call('SET', key('opened', a.id), '1', 'NX', 'PX', NOTED_MS) then
  record(a.audit.opened, {link = a.id, patient = l.p})
end
local dead = why_dead(l)
if dead then return answer({err = 'link-gone', reason = dead}) end
local p = l.p ~= '' and patient_of(resolve(l.p))
local found = {w = l.w, c = l.c or '', loc = p and p.locale or ''}
if l.k == 'access' then
  local meant = p or eligible_on(l.x, tonumber(l.s))[1]
  found.to, found.patient = meant.to, meant.id
end
return answer(found)
