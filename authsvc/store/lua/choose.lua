-- "Who are you?": once, within the time to choose, and only someone who may sign in now.
--
--   handle, client, patient, choose_ms, session {id, nonce, aud, scope, end}, before (see code_settle); limits
--   replay_ms, replays: at our own pages the same choice gets the same session again, for a few seconds
--   audit verified, gone, session_ended, limited
-- Returns {session} | err: rate-limited, challenge-gone (reason), not-choosable

local refused = take(a.limits)
if refused then return refused end
local k = key('challenge', a.handle)
local c = hash(k)

local function gone(reason)
  record(a.audit.gone, {reason = reason})
  return reply({err = 'challenge-gone', reason = reason})
end

if not c.c then return gone('unknown') end
if c.c ~= a.client then return gone('other_client') end
if c.st == 'won' and c.c == '' and c.wp == resolve(a.patient) then
  -- The honest double click. The browser may never have seen the first answer.
  local s = hash(key('session', c.sid))
  if s.p and now - tonumber(c.wm) <= a.replay_ms and tonumber(c.rp) < a.replays then
    call('HINCRBY', k, 'rp', '1')
    s.id = c.sid
    return reply({session = s})
  end
end
if c.st ~= 'choose' then return gone(c.st == 'won' and 'spent' or 'unproven') end
if now - tonumber(c.wm) > a.choose_ms then return gone('expired') end
local named = resolve(a.patient)
for _, p in ipairs(eligible_on(c.x, tonumber(c.s))) do
  -- A sign-in that began with one patient is that patient's alone, whoever else shares the mailbox.
  if p.id == named and (c.p == '' or resolve(c.p) == p.id) then
    -- wt goes, so that a late repeat of the code doesn't open what the choice has opened.
    call('HDEL', k, 'wt')
    write_hash(k, {st = 'won', sid = a.session.id, wp = p.id, wm = now})
    local s = open_session(p, c.ch)
    record(a.audit.verified, {patient = p.id, sid = s.id, by = 'choice'})
    return reply({session = s})
  end
end
return reply({err = 'not-choosable'})
