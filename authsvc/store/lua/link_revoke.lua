-- End links: one by its id, or all live ones of a patient or for a resource, some at a time.
--
-- uses: retries limits links
-- events: link.ended limited
-- args: link_id patient resource after limits*5
--
-- `after` is empty, then the `more` of the call before, which has charged the limits.
-- Replies {revoked, known, more} | err: rate-limited

local refused = charge(limits)
if refused then return refused end
local ids, more = {link_id}, nil
if patient ~= '' then ids, more = some_links_of('p:' .. resolve(patient), after, LINKS_AT_ONCE) end
if resource ~= '' then ids, more = some_links_of('r:' .. resource, after, LINKS_AT_ONCE) end
local revoked, known = 0, false
for _, id in ipairs(ids) do
  local link = read_link(id)
  known = known or link ~= nil
  if link and end_link(link, 'revoked') then revoked = revoked + 1 end
end
return reply_once({revoked = revoked, known = known, more = more})
