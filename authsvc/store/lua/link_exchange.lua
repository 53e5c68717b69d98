-- Use an instant link: for its token, or at its hosted page for what waits there for the link's client.
--
-- uses: idempotency limits link_records unconfirmed
-- unconfirmed: link link_id client pending_browser call_id
-- seldom: refuse_by first_signer_on take_unconfirmed refuse
-- events: link.exchanged link.refused limited
-- args: link_id link_digest kind client pending_id pending_browser pending_client pending_until:int jti
-- args: idempotency_id idempotency_body idempotency_answer idempotency_ms limits*5
--
-- `jti` is the id of the token that an exchange gives; empty at the hosted page, where `grant.redeemed` has it.
-- `pending_id` (empty: none) names what the hosted page leaves for the client, which fetches it with an authorization
-- code, through this browser alone.
-- pending-link:<id>  record
-- Replies {patient, workflow, resource, channel} | {earlier_answer} | err: rate-limited, link-unknown,
-- link-gone (reason), idempotency-conflict

local PENDING = fields{'link', 'patient', 'workflow', 'resource', 'channel', 'browser', 'client', 'redeemed', 'expires'}

local earlier = idempotent_reply()
if earlier then return earlier end
fetch_with(limits, {key('link', link_id)})
local refused = charge(limits)
if refused then return refused end
local link = read_link(link_id)
local patient
if not link or link.digest ~= link_digest or link.kind ~= kind then
  record('link.refused', 'reason', 'unknown')
  return refuse('link-unknown')
end
if link.last_call ~= call_id then  -- else sent again by the client library
  local dead, again = why_dead(link), take_unconfirmed(link.last_call)
  if dead and not (again and dead == 'used_up') then
    record('link.refused', 'reason', dead, 'link', link_id, 'patient', link.patient)
    return refuse('link-gone', dead)
  end
  link.uses, link.last_call = tonumber(link.uses) + (again and 0 or 1), call_id
  rewrite_link(link)
  patient = resolve(link.patient)
  record('link.exchanged', 'link', link_id, 'patient', patient, 'workflow', link.workflow, 'jti', jti,
    'again', again and 1 or nil)
end
patient = patient or resolve(link.patient)
if pending_id ~= '' then
  write(PENDING, key('pending-link', pending_id), {link = link_id, patient = patient, workflow = link.workflow,
    resource = link.resource, channel = link.channel, browser = pending_browser, client = pending_client,
    redeemed = now_text, expires = pending_until}, pending_until)
end
keep_answer()
return reply({patient = patient, workflow = link.workflow, resource = link.resource, channel = link.channel})
