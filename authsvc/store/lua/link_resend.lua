-- Put a new link in the place of a dead one, to the address on file. The caller learns nothing from the answer.
--
--   limits; id, d, k (of the old token); link {id, d} of the new one; mail {id, body}; address {quota, window_s}
--   every_ms between two of a lineage, most per lineage; tombstone_ms, delivery_ttl_ms, brake; audit resent, limited
-- Returns {} | err: rate-limited

local refused = take(a.limits)
if refused then return refused end
local l = hash(key('link', a.id))
if l.d ~= a.d or l.k ~= a.k then return reply({}) end
local dead = why_dead(l)
if dead ~= 'expired' and dead ~= 'used_up' then return reply({}) end
local p = l.p ~= '' and patient_of(resolve(l.p)) or eligible_on(l.x, tonumber(l.s))[1]
if not p or braked(false) then return reply({}) end

local root = key('link', l.root)
local seen = hash(root)
if tonumber(seen.n or a.most) >= a.most or now - tonumber(seen.at) < a.every_ms then return reply({}) end
shown = {}
if take({{'issue-address', p.idx, a.address[1], a.address[2], false}}) then
  shown = {}
  return reply({})
end
call('HINCRBY', root, 'n', '1')
call('HSET', root, 'at', int(now))
keep_until(root, now + tonumber(l.life) + a.tombstone_ms)
local expires = now + tonumber(l.life)
save_link({id = a.link.id, d = a.link.d, p = l.p ~= '' and p.id or '', x = p.idx, w = l.w, k = l.k, r = l.r, t = now,
  e = expires, m = l.m, ch = 'email', c = l.c or '', reg = '1', b = 0, root = l.root, n = 0, at = 0, life = tonumber(l.life)}, a.tombstone_ms)
enqueue({id = a.mail.id, kind = l.k == 'access' and 'access-link' or 'new-link', channel = 'email', patient = p.id,
  to = p.to, body = a.mail.body, locale = p.locale, until_ms = expires, void = false})
record(a.audit.resent, {link = a.link.id, instead_of = a.id, patient = p.id, workflow = l.w})
return reply({})
