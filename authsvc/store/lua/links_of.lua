-- Every link of a patient that is still remembered, dead ones with the reason. Drops ids whose record has gone.
--   limits, patient
-- Returns {links = [{id, p, w, r, t, e, u, m, state}]} | err: rate-limited

local refused = take(a.limits)
if refused then return refused end
local out, index = {}, key('links-of', resolve(a.patient))
for _, id in ipairs(call('SMEMBERS', index)) do
  local l = hash(key('link', id))
  if l.d then
    out[#out + 1] = {id = id, p = l.p, w = l.w, r = l.r, t = l.t, e = l.e, u = l.u, m = l.m, state = why_dead(l) or 'live'}
  else
    call('SREM', index, id)
  end
end
return answer({links = #out > 0 and out or nil})
