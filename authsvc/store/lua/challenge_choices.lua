-- The patients to choose from again, and those for whom they may act, for a challenge whose mailbox is proven. Changes nothing.
--
-- uses: challenges
-- reads: patients
-- args: challenge client choose_ms:int
-- Replies {choose, acting = {id, sealed label, …}} | err: challenge-gone (reason)

local known = read_challenge()
if not known or known.client ~= client then return refuse('challenge-gone', 'unknown') end
if known.state ~= 'choose' then return refuse('challenge-gone', known.state == 'won' and 'spent' or 'unproven') end
if now - tonumber(known.won_at) > choose_ms then return refuse('challenge-gone', 'expired') end
local own, acting = listed_choices(choices(known))
return reply({choose = own, acting = acting})
