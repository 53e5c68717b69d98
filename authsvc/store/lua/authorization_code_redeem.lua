-- Redeem an authorization code, once: a client session of the browser's session, or what a link gives.
--
-- uses: limits sessions link_records authorization_codes unconfirmed
-- unconfirmed: authorization-code code client call_id
-- events: grant.redeemed grant.reused grant.refused session.ended limited
-- args: code client redirect_uri code_challenge idle_ms:int
-- args: session_id session_nonce session_audience session_jkt jkt notify jti token_until:int delivery_ms limits*5
--
-- `code_challenge` is the S256 of the verifier. `jti` is that of the token that a link would give, until `token_until`.
-- A second use means that somebody copied the code: what the first one gave ends (RFC 6749 §4.1.2). A wrong verifier,
-- address or client doesn't spend it, so that a thief can't spoil what he can't use.
-- Replies {nonce, scope, and session | link, patient, workflow, resource, channel, authenticated, jti}
-- | err: rate-limited, invalid-authorization-code (reason)

-- A client that sends its patients round again for each page leaves sessions behind. So many from one browser session are
-- kept, whosever they are; then the client's own goes that was used longest ago, and where it has none, another's.
local CHILDREN_MAX = 20

local refused = charge(limits)
if refused then return refused end
local k = key('authorization-code', code)
local grant = read(AUTHORIZATION_CODE, k)

local function no(reason)
  record('grant.refused', 'reason', reason, 'sid', grant and grant.session, 'link', grant and grant.link)
  return refuse('invalid-authorization-code', reason)
end

local function link_reply()
  return reply({nonce = grant.nonce, scope = grant.scope, link = grant.link, patient = resolve(grant.patient),
    workflow = grant.workflow, resource = grant.resource, channel = grant.channel, authenticated = grant.authenticated,
    jti = grant.result})
end

-- What a browser session in which somebody acts may give to its clients; names without a colon are OpenID Connect's own.
local function within(scope, allowed)
  if allowed == '' then return scope end
  local kept = {}
  for name in string.gmatch(scope, '%S+') do
    if not string.find(name, ':', 1, true) or string.find(' ' .. allowed .. ' ', ' ' .. name .. ' ', 1, true) then
      kept[#kept + 1] = name
    end
  end
  return table.concat(kept, ' ')
end

if not grant then return no('unknown') end
if grant.client ~= client then return no('other_client') end
if grant.code_challenge ~= code_challenge then return no('pkce') end
if grant.redirect_uri ~= redirect_uri then return no('redirect') end
-- The key that the request named, if it named one (RFC 9449 §10); codes of before an update have no such field.
if (grant.dpop_jkt or '') ~= '' and grant.dpop_jkt ~= jkt then return no('dpop') end
if grant.result ~= '' then
  local session = grant.link == '' and read_session(grant.result)
  if grant.redeeming_call == call_id then  -- sent again by the client library
    if grant.link ~= '' then return link_reply() end
    if session then return reply({nonce = grant.nonce, scope = grant.scope, session = session_reply(session)}) end
  end
  if take_unconfirmed(grant.redeeming_call) then
    if tonumber(grant.expires) <= now then return no('expired') end
    if grant.link ~= '' and is_revoked(read_link(grant.link)) then return no('revoked') end
    if grant.link == '' then
      session = is_alive(read_session(grant.session), idle_ms) and begin_anew(grant.result)
      if not session or session.jkt ~= session_jkt then return no('ended') end
    end
    grant.redeeming_call = call_id
    rewrite(AUTHORIZATION_CODE, k, grant)
    if grant.link ~= '' then return link_reply() end
    return reply({nonce = grant.nonce, scope = grant.scope, session = session_reply(session)})
  end
  if session then end_session(session, 'reused') end
  if grant.link ~= '' and call('SET', key('revoked', grant.result), '1', 'NX', 'PX',
    int(math.max(token_until - now, 1) + SLACK_MS)) then
    publish_revocation('t', grant.result)  -- once: the same code again and again doesn't fill the feed
  end
  record('grant.reused', grant.link ~= '' and 'jti' or 'sid', grant.result)
  return refuse('invalid-authorization-code', 'reused')
end
if tonumber(grant.expires) <= now then return no('expired') end

grant.redeeming_call = call_id
if grant.link ~= '' then
  if is_revoked(read_link(grant.link)) then return no('revoked') end
  grant.result = jti
  rewrite(AUTHORIZATION_CODE, k, grant)
  record('grant.redeemed', 'patient', resolve(grant.patient), 'link', grant.link, 'jti', jti)
  return link_reply()
end

local parent = read_session(grant.session)
if not is_alive(parent, idle_ms) then return no('ended') end
local own, oldest  -- of this client, of any
local kept = {}
local function older(child, than)
  return not than or tonumber(child.used) < tonumber(than.used)
end
for _, sid in ipairs(items(parent.children)) do
  local child = read_session(sid)
  if child then
    kept[#kept + 1] = sid
    if child.client == client and older(child, own) then own = child end
    if older(child, oldest) then oldest = child end
  end
end
parent.children = table.concat(kept, ',')
if #kept >= CHILDREN_MAX then
  oldest = own or oldest
  parent.children = without(parent.children, oldest.sid)
  end_session(oldest, 'too_many', nil, true)
end
grant.result = session_id
rewrite(AUTHORIZATION_CODE, k, grant)
local session = {sid = session_id, patient = parent.patient, client = client, audience = session_audience,
  channel = parent.channel, opened = parent.opened, used = now_text, generation = '0', generation_at = now_text,
  nonce = session_nonce, expires = parent.expires, scope = within(grant.scope, parent.scope), parent = parent.sid,
  notify = notify, children = '', jkt = session_jkt, guardian = parent.guardian}
write_session(session)
parent.children = parent.children == '' and session_id or parent.children .. ',' .. session_id
parent.used = now_text  -- else it could end before what is opened here, and be kept alive by that
rewrite(SESSION, key('session', parent.sid), parent)
record('grant.redeemed', 'patient', session.patient, 'guardian', session.guardian, 'sid', session_id)
return reply({nonce = grant.nonce, scope = grant.scope, session = session_reply(session)})
