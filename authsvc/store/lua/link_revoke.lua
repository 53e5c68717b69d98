-- End links: one by its id, or all live ones of a patient or for a resource.
--
-- uses: retries limits links
-- events: link.ended limited
-- args: link_id patient resource limits*5
-- Replies {revoked, known} | err: rate-limited

local refused = charge(limits)
if refused then return refused end
local ids = {link_id}
if patient ~= '' then ids = links_of('p:' .. resolve(patient)) end
if resource ~= '' then ids = links_of('r:' .. resource) end
local revoked, known = 0, false
for _, id in ipairs(ids) do
  local link = read_link(id)
  known = known or link ~= nil
  if link and end_link(link, 'revoked') then revoked = revoked + 1 end
end
return reply_once({revoked = revoked, known = known})
