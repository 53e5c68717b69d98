-- Opening and ending sessions.
-- uses: session_records audit patients dependents revocations outbox

local SESSIONS_MAX = 20  -- of one patient; then the one that ends first is ended
local SESSIONS_AT_ONCE = 10  -- that one script ends before it leaves the rest to the next call: about a millisecond
local sessions_ended = 0  -- by this call
local LOGOUT_MS = 600000  -- a client keeps its own session for as long as ours, and for a token's life at least

local function without(list, gone)
  local kept = {}
  for _, item in ipairs(items(list)) do
    if item ~= gone and not (string.sub(item, 1, #gone + 1) == gone .. '.') then kept[#kept + 1] = item end
  end
  return table.concat(kept, ',')
end

-- End a session and the client sessions that were opened from it. `by` is the client that gives its own session back
-- (or nil): it needs no logout token. `parent_ends`: the session that lists this one ends too.
local function end_session(session, reason, by, parent_ends)
  local sid = session.sid
  sessions_ended = sessions_ended + 1
  call('DEL', key('session', sid))
  if session.parent ~= '' then
    local parent = not parent_ends and read_session(session.parent)
    if parent then
      parent.children = without(parent.children, sid)
      rewrite(SESSION, key('session', parent.sid), parent)
    end
  else
    for _, id in ipairs({session.patient, session.guardian}) do
      local patient = read_patient(id)
      if patient then
        patient.sessions = without(patient.sessions, sid)
        write_patient(patient)
      end
    end
  end
  publish_revocation('s', sid)
  if session.notify == '1' and session.client ~= by then
    -- `address` is the client's id and `body` the session's: both stand readable in the session, so nothing is sealed.
    enqueue('logouts', {id = sid, kind = 'logout', channel = 'backchannel', patient = session.patient,
      address = session.client, body = sid, ['until'] = math.max(tonumber(session.expires), now + LOGOUT_MS)})
  end
  record('session.ended', 'patient', session.patient, 'guardian', session.guardian, 'sid', sid, 'reason', reason)
  for _, child_sid in ipairs(items(session.children)) do
    local child = read_session(child_sid)
    if child then end_session(child, reason, nil, true) end
  end
end

-- The sessions of a patient but `keep` (a sid, or nil); how many were ended, and whether some are left for the next call.
-- `proven`: those alone that rest on the patient's own mailbox, not those in which a guardian acts.
local function end_sessions(patient, reason, keep, proven)
  local ended = 0
  for _, item in ipairs(items(patient.sessions)) do
    local sid = string.match(item, '^[^.]+')
    local session = sid ~= keep and read_session(sid)
    if session and (not proven or person(session) == patient.id) then
      if sessions_ended >= SESSIONS_AT_ONCE then return ended, true end
      end_session(session, reason)
      ended = ended + 1
    end
  end
  return ended, false
end

-- The browser had a session already (`former_sid` and the digest of its secret). A fresh proof gives a new sid, so that
-- a planted cookie is worth nothing: the same patient's client sessions move over, another patient's end, and those of
-- somebody else who acts for the patient.
local function replace_former(session)
  local former = read_session(former_sid)
  if not former or former.client ~= '' or former.nonce ~= former_secret then return end
  if former.patient == session.patient and former.guardian == session.guardian then
    for _, child_sid in ipairs(items(former.children)) do
      local child = read_session(child_sid)
      if child then
        child.parent = session.sid
        rewrite(SESSION, key('session', child_sid), child)
      end
    end
    session.children, former.children = former.children, ''
    rewrite(SESSION, key('session', session.sid), session)
  end
  end_session(former, 'succeeded')
end

-- List a session in a patient's record.
local function list_session(patient, session)
  local kept = {}
  for _, item in ipairs(items(patient.sessions)) do
    if tonumber(string.match(item, '[^.]+$')) > now then kept[#kept + 1] = item end
  end
  if #kept >= SESSIONS_MAX then
    local surplus = read_session(string.match(table.remove(kept, 1), '^[^.]+'))
    if surplus then end_session(surplus, 'too_many') end
  end
  kept[#kept + 1] = session.sid .. '.' .. int(session.expires)
  patient.sessions = table.concat(kept, ',')
  write_patient(patient)
end

-- What a guardian is granted: the scopes of these workflows, as the caller knows them ({name, scopes} each).
local function scope_of(workflows)
  local names = {}
  for _, workflow in ipairs(acting_scopes) do
    if string.find(' ' .. workflows .. ' ', ' ' .. workflow[1] .. ' ', 1, true) then names[#names + 1] = workflow[2] end
  end
  -- The catalogue may have lost them since: then it is a scope that nothing asks for, since none would mean all.
  return #names > 0 and table.concat(names, ' ') or '-'
end

-- A session whose opening nobody was told of begins now, as if this call had opened it; nil for one that has ended or that
-- somebody has refreshed.
local function begin_anew(sid)
  local session = read_session(sid)
  if not session or session.generation ~= '0' or tonumber(session.expires) <= now then return nil end
  session.generation_at, session.used = now_text, now_text
  rewrite(SESSION, key('session', sid), session)
  return session
end

-- Open the session that the caller has prepared (`session_…`) for one of the choices. `opened` is when the mailbox was
-- proven. Whoever acts for somebody does so until the relation's end at most.
local function open_session(choice, channel, opened)
  local session = {sid = session_id, patient = choice.patient.id, client = client, audience = session_audience,
    channel = channel, opened = opened, used = now_text, generation = '0', generation_at = now_text, nonce = session_nonce,
    expires = session_expires, scope = session_scope, parent = '', guardian = ''}
  if choice.guardian then
    session.guardian = choice.guardian.id
    if choice.ends ~= '' then session.expires = math.min(session_expires, tonumber(choice.ends)) end
    if choice.workflows ~= '' then session.scope = scope_of(choice.workflows) end
  end
  if session_scope_text ~= '' then
    local scopes, life_ms = key('scopes', string.sub(session_scope, 2)), int(session_expires - now + SLACK_MS)
    if call('PEXPIRE', scopes, life_ms) == 0 then call('SET', scopes, session_scope_text, 'PX', life_ms) end
  end
  write_session(session)
  list_session(choice.patient, session)
  -- Read anew: a session that had to go may have stood in both records.
  if choice.guardian then list_session(read_patient(choice.guardian.id), session) end
  if former_sid ~= '' then replace_former(session) end
  return session
end
