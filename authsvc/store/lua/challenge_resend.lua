-- Send another code for a challenge. The last three stay valid, and the attempts stay as they are.
--
-- uses: idempotency mail_throttle start_challenge
-- events: code.resent limited
-- args: site_throttle mails_own_quota mails_own_window:int mails_own_step:int
-- args: mails_share_quota mails_share_window:int mails_share_step:int mails_all_quota typed_share
-- args: misses_consecutive:int misses_per_day:int misses_by_links_per_day:int attempts_max:int
-- args: check_only challenge client channel locale tag code_until:int resend_after_ms:int resends_max:int challenge_life_s
-- args: mail_id mail_body delivery_ms tombstone_ms:int
-- args: access_link_id access_link_digest access_link_workflow access_link_expires access_link_max_uses
-- args: idempotency_id idempotency_body idempotency_answer idempotency_ms limits*5 address_limits*5 patient_limits*5
--
-- `check_only` is 1 before anything is hashed or sealed: what is refused is refused then, and else nothing is counted yet.
-- The budget of the address guards a typed start, that of the patient any other; a change of the address has a budget of
-- the new address too.
-- Replies {until, channel}, to a check what hashing needs: {salt, profile, pepper, channel} | {earlier_answer} | err: rate-limited, challenge-gone (reason),
-- idempotency-conflict

local earlier = idempotent_reply()
if earlier then return earlier end
local known = read_challenge()
if not known then return refuse('challenge-gone', 'unknown') end
if known.client ~= client then return refuse('challenge-gone', 'other_client') end
if known.last_call == call_id then  -- sent again by the client library
  return reply({['until'] = string.match(known.code1, '%d+$'), channel = known.channel})
end
local expires = tonumber(known.expires)
if expires <= now then return refuse('challenge-gone', 'expired') end
if known.state ~= '' then return refuse('challenge-gone', 'spent') end
if tonumber(known.attempts) >= attempts_max then return refuse('challenge-gone', 'exhausted') end

local early = tonumber(known.sent) + resend_after_ms - now
if early > 0 then return refuse_limited('resend', early, 1, math.ceil(resend_after_ms / 1000)) end
if tonumber(known.resends) >= resends_max then
  return refuse_limited('resend', expires - now, resends_max, challenge_life_s)
end
local refused = throttled(known.kind == 'typed' and 'typed' or 'code')
if refused then return refused end
local link = known.kind == 'link' and read_link(known.link)
local own = limits_of(address_limits, known.kind == EMAIL_CHANGE and known.mailbox .. '.change' or known.mailbox)
if known.kind ~= 'typed' then
  local whose = known.patient ~= '' and resolve(known.patient) or known.mailbox
  if known.kind == EMAIL_CHANGE then
    for _, bucket in ipairs(own) do limits[#limits + 1] = bucket end
  end
  own = limits_of(patient_limits, link and link.mailbox_only == '1' and link.id or whose)
end
for _, bucket in ipairs(own) do limits[#limits + 1] = bucket end
refused = check(limits)
if refused then return refused end

-- An unknown mailbox costs the same look-ups as a known one, and nobody there is written to.
local first = first_signer(known)
local patient = known.unknown ~= '1' and first or nil
if known.kind ~= 'typed' and not patient then
  count(limits)
  return refuse('challenge-gone', 'superseded')
end
if known.kind == EMAIL_CHANGE and in_link_mode(known.mailbox) then
  count(limits)
  return refuse_limited('guesses', HOUR_MS, misses_per_day, 86400)
end
local by_link = links_in_link_mode(link, known.mailbox)
if known.kind ~= 'link' and known.kind ~= EMAIL_CHANGE then
  by_link = in_link_mode(known.mailbox) or is_used_up(limits, 'issue-address', 'issue-address-day')
end
channel, locale = known.channel, known.locale
if check_only == '1' then
  return reply({salt = known.salt, profile = known.profile, pepper = known.pepper, channel = channel})
end
count(limits)
code_until = math.min(code_until, expires)
known.code1, known.code2, known.code3 = tag .. '|' .. int(code_until), known.code1, known.code2
known.sent, known.resends = now_text, tonumber(known.resends) + 1
rewrite_challenge(known)
mail_challenge(known.kind, known.mailbox, patient, by_link, known.kind == EMAIL_CHANGE and known.address or nil)
record('code.resent', 'patient', known.patient, 'mail', by_link and 'link' or 'code')
keep_answer()
return reply({['until'] = int(code_until), channel = channel})
