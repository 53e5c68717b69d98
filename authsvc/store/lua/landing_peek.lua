-- What a pressed link waits for: read by the pages, changes nothing.
--   landing (digest of the hint), browser (digest)
-- Returns {l, p, w, r, c, to = sealed address and loc where a code could be sent} or {}

local d = hash(key('landing', a.landing))
if d.b ~= a.browser or tonumber(d.e) <= now then return answer({}) end
local p = patient_of(resolve(d.p))
local reachable = p and p.access == '1'
return answer({l = d.l, p = p and p.id or d.p, w = d.w, r = d.r, c = d.c, to = reachable and p.to or nil,
  loc = p and p.locale or ''})
