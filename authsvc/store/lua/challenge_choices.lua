-- The patients to choose from again, for a challenge whose mailbox is proven. Changes nothing.
--
-- uses: challenges
-- args: challenge client choose_ms:int
-- Replies {choose = {id, sealed label, …}} | err: challenge-gone (reason)

local known = read_challenge()
if not known or known.client ~= client then return refuse('challenge-gone', 'unknown') end
if known.state ~= 'choose' then return refuse('challenge-gone', known.state == 'won' and 'spent' or 'unproven') end
if now - tonumber(known.won_at) > choose_ms then return refuse('challenge-gone', 'expired') end
local flat = {}
for _, one in ipairs(signers(known)) do
  flat[#flat + 1] = one.id
  flat[#flat + 1] = one.label
end
return reply({choose = #flat > 0 and flat or nil})
