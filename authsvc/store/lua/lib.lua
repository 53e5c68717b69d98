-- The prelude of every script: `Store.run` puts it before the script's own text.
--
-- KEYS[1]  prefix of one slot, for example "authsvc:{maple}:". Every key a script touches begins with it.
-- ARGV[1]  JSON object of named arguments, decoded as `a`. In all scripts:
--            now    instant of the act, ms since the epoch (the caller's clock: scripts never read time themselves)
--            act    act id; an answer kept under it is given again to a retry of the same act (absent: not kept)
--            audit  {outcome = {o = outcome, e = entry as JSON text, m = MAC of e}}
-- Returns a JSON object; `err` names a refusal in words of the domain.
--
-- Deadlines are stored fields; a TTL only collects garbage, with slack, so a moved clock is enough for a test.
-- Nothing here may leak a global: one leaked global poisons fakeredis for every later script.

local P = KEYS[1]
local a = cjson.decode(ARGV[1])
local call = redis.call
local now = a.now or 0
local did = {}      -- {outcome, facts} of what was recorded, for the caller's log and metrics
local shown = {}    -- limiter states for the RateLimit fields: {policy, quota, window_s, remaining, reset_s}

local ACT_TTL_MS = '60000'  -- longer than our own retry loop ever lasts
local SLACK_MS = 60000      -- a TTL outlives its deadline by this

local function key(...)
  return P .. table.concat({...}, ':')
end

local function int(x)
  return string.format('%d', x)
end

-- A hash as a table; an empty table when there is none.
local function hash(k)
  local flat, t = call('HGETALL', k), {}
  for i = 1, #flat, 2 do t[flat[i]] = flat[i + 1] end
  return t
end

local function write_hash(k, t)
  local flat = {}
  for field, value in pairs(t) do
    flat[#flat + 1] = field
    flat[#flat + 1] = type(value) == 'number' and int(value) or value
  end
  call('HSET', k, unpack(flat))
end

-- Let `k` live until `deadline` (plus slack), never shorter than it already does.
local function keep_until(k, deadline)
  local ttl = deadline - now + SLACK_MS
  if call('PTTL', k) < ttl then call('PEXPIRE', k, int(ttl)) end
end

-- Answers ------------------------------------------------------------------------------------------------------------

local function answer(t)
  if #did > 0 then t.did = did end
  if #shown > 0 then t.limits = shown end
  if next(t) == nil then return '{}' end  -- cjson can't tell an empty object from an empty array
  return cjson.encode(t)
end

-- An answer that a retry of the same act gets again, instead of acting twice.
local function reply(t)
  local text = answer(t)
  if a.act then call('SET', key('act', a.act), text, 'PX', ACT_TTL_MS) end
  return text
end

if a.act then
  local seen = call('GET', key('act', a.act))
  if seen then return seen end
end

-- Audit --------------------------------------------------------------------------------------------------------------

-- Append an audit entry, numbered without gaps. `facts` (a table or nil) holds what only the script knows.
local function record(entry, facts)
  local n = call('INCR', key('audit', 'n'))
  call('XADD', key('audit'), '*', 'n', int(n), 'e', entry.e, 'm', entry.m, 'x', facts and cjson.encode(facts) or '')
  did[#did + 1] = {entry.o, facts}
end

-- Idempotency-Key ----------------------------------------------------------------------------------------------------
-- a.idem = {k = id of the key, f = MAC of the body, r = sealed answer, ttl_ms}: nothing readable without the key.

local function seen_before()
  if not a.idem then return nil end
  local kept = call('GET', key('idem', a.idem.k))
  if not kept then return nil end
  kept = cjson.decode(kept)
  if kept.f ~= a.idem.f then return answer({err = 'idempotency-conflict'}) end
  return answer({again = kept.r})
end

local function remember()
  if a.idem then
    call('SET', key('idem', a.idem.k), cjson.encode({f = a.idem.f, r = a.idem.r}), 'PX', int(a.idem.ttl_ms))
  end
end

-- Limits: GCRA -------------------------------------------------------------------------------------------------------
-- A bucket is {policy, id, quota, window_s, show}. Its one number is the theoretical arrival time (ms): the instant at
-- which it is full again. All are checked first and only then counted, so a refused act costs nothing.

-- nil when all buckets have room; else the refusal. The second value maps a policy to what remains of it.
local function take(buckets)
  local after, left, violated, wait = {}, {}, {}, 0
  for _, b in ipairs(buckets) do
    local policy, quota, window = b[1], b[3], b[4] * 1000
    local k = key('limit', policy, b[2])
    local step = math.ceil(window / quota)
    local tat = math.max(tonumber(call('GET', k) or '0'), now)
    local room = now + window - (tat + step)
    if step * quota > window then room = room + (step * quota - window) end
    local remaining, reset = 0, math.ceil(-room / 1000)
    if room < 0 then
      violated[#violated + 1] = policy
      wait = math.max(wait, -room)
      if a.audit and a.audit.limited and call('SET', k .. ':noted', '1', 'NX', 'PX', int(window)) then
        record(a.audit.limited, {policy = policy})
      end
    else
      after[k] = tat + step
      remaining, reset = math.floor(room / step), math.ceil((tat + step - now) / 1000)
    end
    if not left[policy] or remaining < left[policy] then left[policy] = remaining end
    if b[5] then shown[#shown + 1] = {policy, quota, b[4], remaining, reset} end
  end
  if #violated > 0 then
    return answer({err = 'rate-limited', violated = violated, wait_ms = wait}), left
  end
  for k, tat in pairs(after) do call('SET', k, int(tat), 'PX', int(tat - now + SLACK_MS)) end
  return nil, left
end

-- A refusal by what isn't a bucket: shown like one that is empty, so that every refusal names its policy.
local function refuse_limited(policy, wait_ms, quota, window_s)
  shown[#shown + 1] = {policy, quota, window_s, 0, math.ceil(wait_ms / 1000)}
  return answer({err = 'rate-limited', violated = {policy}, wait_ms = wait_ms})
end

-- a.mail_rate = {quota, window_s} of mails-practice
local function refuse_braked()
  return refuse_limited('mails-practice', 60000, a.mail_rate[1], a.mail_rate[2])
end

-- The worker's mail counters, as a flag: "typed" when typed starts must stop, "all" when every mail must.
local function braked(typed)
  for _, flag in ipairs({call('GET', key('brake')) or '', a.brake or ''}) do
    if flag == 'all' or (flag == 'typed' and typed) then return true end
  end
  return false
end

-- Patients -----------------------------------------------------------------------------------------------------------
-- patient:<id>  hash: to (sealed address), idx (keyed hash of the canonical address), label (sealed), locale,
--               access ('1' may sign in), addressed / granted (epochs of the present address and access)
-- address:<idx> set of patient ids on that mailbox
-- epoch         counter that orders changes of address and access against challenges and links, without a clock

local function patient_of(id)
  local p = hash(key('patient', id))
  if not p.idx then return nil end
  p.id, p.addressed, p.granted = id, tonumber(p.addressed), tonumber(p.granted)
  return p
end

-- A patient id that was merged into another is read as that other one.
local function resolve(id)
  for _ = 1, 8 do  -- a patient merged into one that was merged later; a circle can't be made, for both must be on file
    local into = call('GET', key('merged', id))
    if not into then return id end
    id = into
  end
  return id
end

local function epoch()
  return tonumber(call('GET', key('epoch')) or '0')
end

-- May this patient sign in on what began at `since` on the mailbox `idx`?
local function eligible(p, idx, since)
  return p and p.access == '1' and p.idx == idx and p.addressed <= since and p.granted <= since
end

-- Everyone who may sign in on the mailbox, in the order of their ids. An unknown mailbox costs one look-up too.
local function eligible_on(idx, since)
  local ids, found = call('SMEMBERS', key('address', idx)), {}
  if #ids == 0 then patient_of('') end
  table.sort(ids)
  for _, id in ipairs(ids) do
    local p = patient_of(id)
    if eligible(p, idx, since) then found[#found + 1] = p end
  end
  return found
end

-- Outbox -------------------------------------------------------------------------------------------------------------
-- Two queues, outbox (mails) and logouts, each with workers of its own: a client that doesn't answer delays no code.
-- m = {id, kind, channel, patient, to, body, locale, until_ms, void}; the worker owns the entry from here on.

local function push(queue, m, record_ms)
  local void = m.void and '1' or '0'
  call('XADD', key(queue), '*', 'id', m.id, 'kind', m.kind, 'channel', m.channel, 'patient', m.patient, 'to', m.to,
    'body', m.body, 'locale', m.locale, 'until', int(m.until_ms), 'queued', int(now), 'void', void)
  write_hash(key('delivery', m.id), {patient = m.patient, kind = m.kind, channel = m.channel, state = 'queued',
    queued_ms = now, at_ms = now, attempts = 0, detail = ''})
  call('PEXPIRE', key('delivery', m.id), int(record_ms))
end

local function enqueue(m)
  push('outbox', m, a.delivery_ttl_ms)
  call('ZADD', key('deliveries', m.patient), int(now), m.id)
  call('PEXPIRE', key('deliveries', m.patient), int(a.delivery_ttl_ms))
end

-- A client is told that its session is over (OpenID Connect Back-Channel Logout 1.0). `to` is the client's id, `body`
-- the session's: both stand readable in the session's own record, so nothing is sealed. The address isn't in it, but
-- looked up at each try. The record counts tries only: a logout is no mail, so staff finds none among the mails.
--
-- A client may keep a session of its own and ask us nothing, so it is told for as long as ours could have lasted, and
-- for ten minutes at least: the longest life of a token that it may hold.
local LOGOUT_MS = 600000

local function enqueue_logout(sid, s)
  local until_ms = math.max(tonumber(s.e), now + LOGOUT_MS)
  push('logouts', {id = sid, kind = 'logout', channel = 'backchannel', patient = s.p, to = s.c, body = sid, locale = '',
    until_ms = until_ms, void = false}, until_ms - now + SLACK_MS)
end

-- Sessions -----------------------------------------------------------------------------------------------------------

-- The feed for verifiers that never call back: "<kind>:<id>" by the instant it was revoked, as long as a token could
-- still rest on it. Kinds: s session, l link, t token (jti).
local FEED_MS = 720000  -- the longest token (600 s) and two minutes

local function feed(kind, id)
  local k = key('revocations')
  -- Never before what is in the feed already: instances' clocks differ, and a cursor must not pass a late one by.
  local newest = tonumber(call('ZREVRANGE', k, '0', '0', 'WITHSCORES')[2] or '0')
  call('ZADD', k, int(math.max(now, newest + 1)), kind .. ':' .. id)
  call('ZREMRANGEBYSCORE', k, '-inf', int(now - FEED_MS))
  call('PEXPIRE', k, int(FEED_MS))
end

-- session:<sid> hash: p patient, c client ('' for a sign-in at the hosted pages), a audience, m channel (amr),
--   o opened = auth_time, l last used, g generation, gm when that generation began, n digest of the nonce (of a sign-in:
--   of its cookie's secret), e absolute end, s scope; of a client session that a sign-in opened: v the sign-in's sid,
--   b '1' where the client wants to be told of its end
-- sessions:<patient> sorted set of sids by absolute end; those that a sign-in opened are in children:<sid> instead

-- A sign-in takes the client sessions that it opened along. `by`: the client that gives its own session back (or nil),
-- which needn't be told.
local function end_session(sid, patient, reason, by)
  local s = hash(key('session', sid))
  call('DEL', key('session', sid))
  call('ZREM', key('sessions', patient), sid)
  if s.v then call('SREM', key('children', s.v), sid) end
  feed('s', sid)
  if s.b and s.c ~= by then enqueue_logout(sid, s) end
  if a.audit.session_ended then
    record(a.audit.session_ended, {patient = patient, sid = sid, reason = reason})
  end
  local children = call('SMEMBERS', key('children', sid))
  table.sort(children)
  for _, child in ipairs(children) do
    if call('EXISTS', key('session', child)) == 1 then end_session(child, patient, reason) end
  end
  call('DEL', key('children', sid))
end

-- All of a patient's, but for `keep` (a sid, or nil).
local function end_sessions(patient, reason, keep)
  local ended = 0
  for _, sid in ipairs(call('ZRANGE', key('sessions', patient), '0', '-1')) do
    if sid ~= keep then
      if call('EXISTS', key('session', sid)) == 1 then
        end_session(sid, patient, reason)
        ended = ended + 1
      else
        call('ZREM', key('sessions', patient), sid)
      end
    end
  end
  return ended
end

local function alive(s, idle_ms)
  return s.p and now < tonumber(s.e) and now - tonumber(s.l) <= idle_ms
end

local function keep_session(sid, s)
  write_hash(key('session', sid), s)
  keep_until(key('session', sid), s.e)
  for field, value in pairs(s) do
    if type(value) == 'number' then s[field] = int(value) end
  end
  s.id = sid
  return s
end

-- The browser was signed in already. A fresh proof gets a new sid, so that a planted cookie is worth nothing: the same
-- patient's client sessions move over to it, another patient's end with the old one.
local function succeed(sid, patient, ends)
  local old = a.before and hash(key('session', a.before.sid)) or {}
  if old.c ~= '' or old.n ~= a.before.secret then return end
  if old.p == patient then
    local from, to = key('children', a.before.sid), key('children', sid)
    for _, child in ipairs(call('SMEMBERS', from)) do
      if call('EXISTS', key('session', child)) == 1 then
        call('HSET', key('session', child), 'v', sid)
        call('SADD', to, child)
      end
    end
    call('DEL', from)
    keep_until(to, ends)
  end
  end_session(a.before.sid, old.p, 'succeeded')
end

local function open_session(p, channel)
  local sid, index = a.session.id, key('sessions', p.id)
  local s = keep_session(sid, {p = p.id, c = a.client, a = a.session.aud, m = channel, o = now, l = now, g = 0, gm = now,
    n = a.session.nonce, e = a.session['end'], s = a.session.scope})
  call('ZREMRANGEBYSCORE', index, '-inf', int(now))
  call('ZADD', index, s.e, sid)
  keep_until(index, tonumber(s.e))
  if a.before then succeed(sid, p.id, tonumber(s.e)) end
  return s
end

-- Links --------------------------------------------------------------------------------------------------------------
-- link:<id> hash: d (digest of the token), p patient ('' when the mailbox itself is meant), x mailbox (access links),
--   w workflow, k kind (instant | access), r resource, t issued, e expires, u uses, m max uses ('' none),
--   s epoch at issue, reg ('1': the patient was on file), b misses of codes born from it, st reason it was ended,
--   ch channel that carries it, c client that issued it, root lineage, n resends in the lineage (on the root), at last
--   resend (on the root), life in ms
-- links-of:<patient>, links-for:<resource>: sets of link ids

local MISSES_END_LINK = 'revoked'

-- Why the link can't be used, or nil. Telling "expired" needs the token, so a stranger learns nothing.
local function why_dead(l)
  if l.st or not l.d then return l.st or 'revoked' end
  local s = tonumber(l.s)
  if l.p == '' then
    if #eligible_on(l.x, s) == 0 then return 'revoked' end
  elseif l.reg == '1' then
    local p = patient_of(resolve(l.p))
    if not p then return 'revoked' end
    if p.addressed > s then return 'address_changed' end
    if l.k == 'access' and (p.access ~= '1' or p.granted > s) then return 'revoked' end
  end
  if tonumber(l.e) <= now then return 'expired' end
  if l.m ~= '' and tonumber(l.u) >= tonumber(l.m) then return 'used_up' end
  return nil
end

local function save_link(l, keep_ms)
  local k = key('link', l.id)
  local deadline = l.e + keep_ms
  local id = l.id
  l.id = nil
  l.u, l.s = 0, epoch()
  write_hash(k, l)
  keep_until(k, deadline)
  -- A link to a mailbox gets an index that nobody reads and that dies with it: for an unknown mailbox the same work.
  local index = key('links-of', l.p ~= '' and l.p or ':' .. id)
  call('SADD', index, id)
  keep_until(index, deadline)
  if l.r ~= '' then
    call('SADD', key('links-for', l.r), id)
    keep_until(key('links-for', l.r), deadline)
  end
end

local function end_link(id, reason)
  local l = hash(key('link', id))
  if not l.d or why_dead(l) then return false end
  call('HSET', key('link', id), 'st', reason)
  feed('l', id)
  if a.audit and a.audit.link_ended then record(a.audit.link_ended, {patient = l.p, link = id, reason = reason}) end
  return true
end

-- Guess budgets of a mailbox -----------------------------------------------------------------------------------------
-- guess:<idx> hash: c (consecutive misses, cleared by a verified code only), h<n> (misses in hour n, never cleared).
-- The present hour and the 24 before it are summed, so no window of 24 hours ever holds more than the budget.

local HOUR_MS = 3600000
local GUESS_TTL_MS = '34560000000'  -- 400 days: a count of consecutive misses outlives every code and session

local function misses(idx)
  local g = hash(key('guess', idx))
  local hour, sum = math.floor(now / HOUR_MS), 0
  for field, value in pairs(g) do
    if string.sub(field, 1, 1) == 'h' then
      if tonumber(string.sub(field, 2)) < hour - 24 then
        call('HDEL', key('guess', idx), field)
      else
        sum = sum + tonumber(value)
      end
    end
  end
  return tonumber(g.c or '0'), sum
end

local function link_mode(idx)
  local consecutive, day = misses(idx)
  return consecutive >= a.budget.consecutive or day >= a.budget.day
end

-- Challenges ---------------------------------------------------------------------------------------------------------
-- challenge:<digest of the handle> hash: c client, k kind (typed | patient | link), x mailbox, p patient, l link,
--   n networks at the start, q pepper id, f profile, z salt, t1..t3 live codes ("tag|expires", newest first),
--   e expires, a attempts used, r last mail, rn resends, s epoch at start, ch channel, loc locale, st state
--   ('' open | choose | won), v '1' for an unknown mailbox; once won: wt winning tag, wm when,
--   wp patient chosen, sid, rp replays

-- Start a challenge and queue its mail. c holds what the script found out: kind, idx, patient (table or nil for an
-- unknown mailbox), link, typed_out (this mail spends the typed budget). Everything else comes from `a`.
local function open_challenge(c)
  local s = epoch()
  local by_link = link_mode(c.idx) and c.kind ~= 'link' or c.typed_out
  write_hash(key('challenge', a.handle), {
    c = a.client, k = c.kind, x = c.idx, p = c.patient_id, l = c.link or '', n = a.networks, q = a.pepper, f = a.profile,
    z = a.salt, t1 = a.tag .. '|' .. int(a.code_until), e = a.challenge_until, a = 0, r = now, rn = 0, s = s,
    ch = a.channel, loc = a.locale, v = c.patient and '0' or '1', st = ''})
  keep_until(key('challenge', a.handle), a.challenge_until)
  return by_link
end

-- Queue the mail of a challenge: its code, or in link mode an access link to the same mailbox.
local function mail_challenge(kind, idx, patient, by_link)
  if a.channel == 'caller' then return end
  local m = {id = a.mail.id, channel = a.channel, locale = a.locale, to = a.mail.filler, patient = '', void = true,
    kind = 'code', body = a.mail.code_body, until_ms = a.code_until}
  if patient then
    m.to, m.patient, m.void = patient.to, patient.id, false
    if m.locale == '' then m.locale = patient.locale end
  end
  if by_link then
    local l = a.mail.link
    m.kind, m.body, m.until_ms = 'access-link', a.mail.link_body, l.e
    -- A typed mailbox may be shared: then the link means the mailbox, and the chooser comes after the code.
    local alone = #call('SMEMBERS', key('address', idx)) == 1
    local sole = patient and (kind ~= 'typed' or alone)
    save_link({id = l.id, d = l.d, p = sole and patient.id or '', x = idx, w = l.w, k = 'access', r = '', t = now,
      e = l.e, m = l.m, ch = a.channel, c = a.client, reg = '1', b = 0, root = l.id, n = 0, at = 0, life = l.e - now},
      patient and a.tombstone_ms or 0)
  end
  enqueue(m)
end

-- Everyone whom the challenge's mailbox may sign in as, asked now: the one it was started for, or all who share it.
local function signers(c)
  if c.p == '' then return eligible_on(c.x, tonumber(c.s)) end
  local p = patient_of(c.p)
  return eligible(p, c.x, tonumber(c.s)) and {p} or {}
end

local function live_tags(c)
  local live = {}
  for i = 1, 3 do
    local t = c['t' .. i]
    if t then
      local tag, expires = string.match(t, '^([^|]+)|(%d+)$')
      if tonumber(expires) > now then live[#live + 1] = tag end
    end
  end
  return live
end
