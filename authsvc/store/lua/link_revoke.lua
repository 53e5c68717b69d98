-- End links: one by id, or all live ones of a patient or for a resource.
--   limits; id | patient | resource; audit link_ended, limited
-- Returns {revoked = n, known = bool} | err: rate-limited

local refused = take(a.limits)
if refused then return refused end
local ids, known = {}, true
if a.id then
  ids, known = {a.id}, call('EXISTS', key('link', a.id)) == 1
elseif a.patient then
  ids = call('SMEMBERS', key('links-of', resolve(a.patient)))
else
  ids = call('SMEMBERS', key('links-for', a.resource))
end
local revoked = 0
for _, id in ipairs(ids) do
  if end_link(id, 'revoked') then revoked = revoked + 1 end
end
return reply({revoked = revoked, known = known})
