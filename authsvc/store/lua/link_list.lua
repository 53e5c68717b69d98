-- Every link of a patient that is still remembered, dead ones with the reason.
--
-- uses: limits links
-- events: limited
-- args: patient limits*5
-- Replies {links = {record and state, …}} | err: rate-limited

local refused = charge(limits)
if refused then return refused end
local found = {}
for _, id in ipairs(links_of('p:' .. resolve(patient))) do
  local link = read_link(id)
  if link then
    found[#found + 1] = {id, link.patient, link.workflow, link.resource, link.issued, link.expires, link.uses,
      link.max_uses, why_dead(link) or 'live'}
  end
end
return reply({links = found})
