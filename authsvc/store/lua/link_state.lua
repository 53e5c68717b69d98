-- Is the link that a token rests on still active? Read by introspection and forward-auth.
--
-- uses: limits link_records
-- events: limited
-- args: jti link_id limits*5
-- `limits` may be empty. An expired or used-up link takes nothing back from the tokens that it gave.
-- Replies {active} | err: rate-limited

local refused = charge(limits)
if refused then return refused end
if call('EXISTS', key('revoked', jti)) == 1 then return reply({}) end
local link = read_link(link_id)
return reply({active = link and not is_revoked(link)})
