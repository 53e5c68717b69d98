-- Send another code for the same challenge; the last three stay valid, and the attempts stay as they are.
--
--   limits (client, networks), client, handle, tag, code_until, mail, budget, brake, delivery_ttl_ms, tombstone_ms, idem
--   address / by_patient  {quota, window_s}: the budgets of typed and of other challenges
--   again_ms   how long after a mail the next may go; most  resends per challenge, which lives for life_s
--   audit      resent, limited
-- Returns {until_ms, ch} | {again} | err: rate-limited, challenge-gone (reason), idempotency-conflict

local again = seen_before()
if again then return again end
local c = hash(key('challenge', a.handle))
if not c.c then return answer({err = 'challenge-gone', reason = 'unknown'}) end
if c.c ~= a.client then return answer({err = 'challenge-gone', reason = 'other_client'}) end
if tonumber(c.e) <= now then return answer({err = 'challenge-gone', reason = 'expired'}) end
if c.st ~= '' then return answer({err = 'challenge-gone', reason = 'spent'}) end
if tonumber(c.a) >= a.attempts then return answer({err = 'challenge-gone', reason = 'exhausted'}) end

local early = tonumber(c.r) + a.again_ms - now
if early > 0 then return refuse_limited('resend', early, 1, math.ceil(a.again_ms / 1000)) end
if tonumber(c.rn) >= a.most then return refuse_limited('resend', tonumber(c.e) - now, a.most, a.life_s) end
if braked(c.k == 'typed') then return refuse_braked() end
local limits = a.limits
if c.k == 'typed' then
  limits[#limits + 1] = {'issue-address', c.x, a.address[1], a.address[2], false}
else
  limits[#limits + 1] = {'issue-patient', c.p ~= '' and c.p or c.x, a.by_patient[1], a.by_patient[2], true}
end
local refused, left = take(limits)
if refused then return refused end

-- An unknown mailbox is asked like a known one, and nobody there is written to.
local found = signers(c)
local patient = c.v ~= '1' and found[1] or nil
if c.k ~= 'typed' and not patient then return answer({err = 'challenge-gone', reason = 'superseded'}) end

local k = key('challenge', a.handle)
if a.code_until > tonumber(c.e) then a.code_until = tonumber(c.e) end
call('HSET', k, 't1', a.tag .. '|' .. int(a.code_until), 'r', int(now))
if c.t1 then call('HSET', k, 't2', c.t1) end
if c.t2 then call('HSET', k, 't3', c.t2) end
call('HINCRBY', k, 'rn', '1')
a.channel, a.locale = c.ch, c.loc
local by_link = c.k ~= 'link' and (link_mode(c.x) or left['issue-address'] == 0)
mail_challenge(c.k, c.x, patient, by_link)
record(a.audit.resent, {patient = c.p ~= '' and c.p or nil, mail = by_link and 'link' or 'code'})
remember()
return reply({until_ms = a.code_until, ch = c.ch})
