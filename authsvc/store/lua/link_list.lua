-- The links of a patient that are still remembered, dead ones with the reason, a page at a time. Changes nothing.
--
-- uses: limits links
-- events: limited
-- reads: links
-- args: patient after limits*5
--
-- `after` is empty, then the `more` of the call before, which has charged the limits.
-- Replies {links = {record and state, …}, more} | err: rate-limited

local PAGE = 25

local refused = charge(limits)
if refused then return refused end
local ids, more = some_links_of('p:' .. resolve(patient), after, PAGE)
local found = {}
for _, id in ipairs(ids) do
  local link = read_link(id)
  if link then
    found[#found + 1] = {id, link.patient, link.workflow, link.resource, link.issued, link.expires, link.uses,
      link.max_uses, why_dead(link) or 'live'}
  end
end
return reply({links = found, more = more})
