-- The chooser's list again, for a challenge whose mailbox is proven. Changes nothing.
--   handle, client, choose_ms
-- Returns {choose = [[id, sealed label], ...]} | err: challenge-gone (reason)

local c = hash(key('challenge', a.handle))
if c.c ~= a.client then return answer({err = 'challenge-gone', reason = 'unknown'}) end
if c.st ~= 'choose' then return answer({err = 'challenge-gone', reason = c.st == 'won' and 'spent' or 'unproven'}) end
if now - tonumber(c.wm) > a.choose_ms then return answer({err = 'challenge-gone', reason = 'expired'}) end
local out = {}
for i, p in ipairs(signers(c)) do out[i] = {p.id, p.label} end
return answer({choose = #out > 0 and out or nil})
