-- Compare the hashed code, and on a match open exactly one session, whatever runs beside this.
--
--   handle, client, tag; locked, hour, left (from code_charge); patient (id the caller named, or '')
--   session  {id, nonce, aud, scope, end (ms)}: ready, used by the first match; choose_ms; replay_ms
--   before   {sid, secret (digest)} of the sign-in that the browser had, for the hosted pages
--   audit    verified, choose, missed, gone, session_ended
-- Returns {session = {...}, sid} | {choose = [[id, sealed label], ...]} | err: invalid-code (reason, left), challenge-gone
--
-- Tags are compared as Lua strings. They are keyed and memory-hard images of what was typed, so a difference in time
-- would tell a caller nothing about the stored tag that a caller could search for.

local k = key('challenge', a.handle)
local c = hash(k)

local function gone(reason)
  record(a.audit.gone, {reason = reason})
  return reply({err = 'challenge-gone', reason = reason})
end

local function missed(reason)
  record(a.audit.missed, {reason = reason, patient = c.p ~= '' and c.p or nil})
  return reply({err = 'invalid-code', reason = reason, left = a.left})
end

local function session_of(sid)
  local s = hash(key('session', sid))
  if not s.p or s.g ~= '0' then return nil end
  s.id = sid
  return s
end

local function list(found)
  local out = {}
  for i, p in ipairs(found) do out[i] = {p.id, p.label} end
  return out
end

if not c.c or c.c ~= a.client then return gone('unknown') end
if c.st ~= '' then
  -- A parallel submit of the code that has just won, or the replay that code_charge let through.
  if a.locked or c.wt ~= a.tag or now - tonumber(c.wm) > a.replay_ms then return gone('spent') end
  if c.st == 'choose' then return reply({choose = list(signers(c))}) end
  local s = session_of(c.sid)
  if not s then return gone('spent') end
  return reply({session = s})
end
if tonumber(c.e) <= now then return gone('expired') end

local hit = false
for _, tag in ipairs(live_tags(c)) do
  if tag == a.tag then hit = true end
end
if not hit then return missed('wrong') end
if c.v == '1' then return missed('dummy') end
if a.locked then return missed('link_mode') end
local found = signers(c)
if #found == 0 then return missed('no_access') end

-- Proven. The reserved miss is given back, and the run of misses ends here.
local g = key('guess', c.x)
call('HDEL', g, 'c')
if c.k == 'link' then
  call('HINCRBY', key('link', c.l), 'b', '-1')
elseif call('HEXISTS', g, 'h' .. int(a.hour)) == 1 then  -- an operator may have forgotten the misses meanwhile
  call('HINCRBY', g, 'h' .. int(a.hour), '-1')
end

local chosen = nil
if a.patient ~= '' then
  local named = resolve(a.patient)
  for _, p in ipairs(found) do
    if p.id == named then chosen = p end
  end
elseif #found == 1 then
  chosen = found[1]
end
if not chosen then
  write_hash(k, {st = 'choose', wt = a.tag, wm = now, rp = 0})
  keep_until(k, now + a.choose_ms)
  record(a.audit.choose, {patients = #found})
  return reply({choose = list(found)})
end

write_hash(k, {st = 'won', wt = a.tag, wm = now, rp = 0, sid = a.session.id})
local s = open_session(chosen, c.ch)
record(a.audit.verified, {patient = chosen.id, sid = s.id, by = c.k})
return reply({session = s})
