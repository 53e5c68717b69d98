-- Give a client an authorization code (RFC 6749 §4.1.2): for the browser's session, or for the link that it redeemed.
--
-- uses: limits session_records link_records authorization_codes unconfirmed
-- unconfirmed: pending-link pending_id pending_browser call_id
-- events: grant.issued limited
-- args: code client redirect_uri code_challenge nonce scope code_expires:int max_age_ms patient dpop_jkt
-- args: session_id secret idle_ms pending_id pending_browser limits*5
--
-- `code` is a digest. `max_age_ms` and `patient` are empty for any age and any patient. `session_id` and the digest of
-- the cookie's `secret` name the browser's session; `pending_id` and `pending_browser` a pending link.
-- Replies {} | err: rate-limited, sign-in-needed (reason: none, other_patient, max_age), link-gone (reason)

-- Counted is what gives a code. A browser that has nothing to show isn't: any website can send a visitor's browser here,
-- without our cookies, as often as it likes, and would use up what that network has for links.
local function needed(reason)
  return refuse('sign-in-needed', reason)
end

local function too_old(instant)
  return max_age_ms ~= '' and now - tonumber(instant) > tonumber(max_age_ms)
end

if call('EXISTS', key('authorization-code', code)) == 1 then return reply({}) end
local grant = {client = client, redirect_uri = redirect_uri, code_challenge = code_challenge, nonce = nonce,
  scope = scope, expires = code_expires, dpop_jkt = dpop_jkt}
local wanted = patient ~= '' and resolve(patient)
local holder, guardian, refused
if pending_id ~= '' then
  local k = key('pending-link', pending_id)
  local pending = read(PENDING, k)
  if not pending or pending.browser ~= pending_browser or pending.client ~= client
    or tonumber(pending.expires) <= now then return needed('none') end
  -- It gives one code. Where nobody was told of that one, another goes in its place.
  local former = pending.code or ''
  if former ~= '' and not take_unconfirmed(pending.issuing_call) then return needed('none') end
  holder = resolve(pending.patient)
  -- Redeeming was its use: time or uses that have run out since then take nothing back.
  local revoked = is_revoked(read_link(pending.link))
  if revoked then return refuse('link-gone', revoked) end
  if wanted and wanted ~= holder then return needed('other_patient') end
  if too_old(pending.redeemed) then return needed('max_age') end
  refused = charge(limits)
  if refused then return refused end
  if former ~= '' then call('DEL', key('authorization-code', former)) end
  pending.code, pending.issuing_call = code, call_id
  rewrite(PENDING, k, pending)
  grant.link, grant.patient, grant.workflow, grant.resource = pending.link, holder, pending.workflow, pending.resource
  grant.channel, grant.authenticated = pending.channel, pending.redeemed
else
  local session = session_id ~= '' and read_session(session_id)
  if not session or session.client ~= '' or session.nonce ~= secret or not is_alive(session, tonumber(idle_ms)) then
    return needed('none')
  end
  holder, guardian = session.patient, session.guardian
  if wanted and wanted ~= holder then return needed('other_patient') end
  if too_old(session.opened) then return needed('max_age') end
  refused = charge(limits)
  if refused then return refused end
  session.used = now_text
  rewrite(SESSION, key('session', session_id), session)
  grant.session = session_id
end
write(AUTHORIZATION_CODE, key('authorization-code', code), grant, code_expires + STOLEN_MS)
record('grant.issued', 'patient', holder, 'guardian', guardian, 'sid', grant.session, 'link', grant.link)
return reply({})
