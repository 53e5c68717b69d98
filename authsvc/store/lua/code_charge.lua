-- Before a code is compared: charge the limits and reserve one of the attempts. Nothing secret is looked at here.
--
-- uses: limits challenges unconfirmed storage
-- unconfirmed: code challenge client call_id
-- events: challenge.gone link.ended limited
-- seldom: refuse_by links_in_link_mode rewrite_link read_link end_link challenge_gone peek_unconfirmed signers_on items
-- args: challenge client email_change network_known
-- args: attempts_max:int misses_consecutive:int misses_per_day:int misses_by_links_per_day:int
-- args: misses_per_link:int replay_ms:int replays_max:int limits*5 network_limits*5
--
-- `network_known` is 1 where the caller named the patient's network, so that it is among `limits`; `network_limits`
-- are those of the nearest network and of the one around it.
-- `email_change` is 1 where the code shall change an address, else it shall sign somebody in.
-- Replies {salt, profile, pepper, attempts_left (after this one), link_mode, hour} | err: rate-limited,
-- challenge-gone (reason)

fetch_with(limits, {key('challenge', challenge)})
local known = read_challenge()
if network_known ~= '1' and known then
  for number, network in ipairs(items(known.networks)) do
    limits[#limits + 1] = limits_of({network_limits[number]}, network)[1]
  end
end
local refused = charge(limits)
if refused then return refused end

if not known then return challenge_gone('unknown') end
if known.client ~= client then return challenge_gone('other_client') end
if (known.kind == EMAIL_CHANGE) ~= (email_change == '1') then return challenge_gone('unknown') end
local hour, link_mode = math.floor(now / HOUR_MS), false
local charged = {salt = known.salt, profile = known.profile, pepper = known.pepper, hour = int(hour)}
if known.state ~= '' then
  -- The honest double click: a few repeats of the winning code, for a few seconds, or after an answer of 503.
  local late = now - tonumber(known.won_at) > replay_ms and not peek_unconfirmed(known.last_call)
  if late or tonumber(known.replays) >= replays_max then return challenge_gone('spent') end
  known.replays = tonumber(known.replays) + 1
  rewrite(CHALLENGE, key('challenge', challenge), known)
  charged.attempts_left = 0
  return reply(charged)
end
if tonumber(known.expires) <= now then return challenge_gone('expired') end
-- The patient has another address, or may not sign in any more. Not asked for a typed address: the answer would tell.
if known.kind ~= 'typed' and known.patient ~= '' and #signers(known) == 0 then return challenge_gone('superseded') end
local attempts = tonumber(known.attempts)
local again = known.last_call == call_id  -- sent again by the client library: the attempt is reserved already
if attempts >= attempts_max and not again then return challenge_gone('exhausted') end

local guesses, link, any = key('guesses', known.mailbox), nil, true
if known.kind == 'link' then
  link = read_link(known.link)
  link_mode = links_in_link_mode(link, known.mailbox)
  guesses = link and link.mailbox_only ~= '1' and key('guesses-by-links', known.mailbox)
else
  link_mode, any = in_link_mode(known.mailbox)
end
if not again then
  if known.kind == 'link' then
    if not link or link.ended ~= '' then return challenge_gone('superseded') end
    link.misses = tonumber(link.misses) + 1
    rewrite_link(link)
    if link.misses > misses_per_link then
      end_link(link, 'revoked')
      return challenge_gone('exhausted')
    end
  else
    call('HINCRBY', guesses, 'consecutive', '1')
  end
  if not any then  -- the same commands, whoever is on the mailbox
    local nobody = known.unknown == '1' or known.kind == EMAIL_CHANGE
    count_storage(nobody and BYTES.guesses or 0, now + tonumber(GUESSES_MS))
  end
  if guesses then
    call('HINCRBY', guesses, 'hour:' .. int(hour), '1')
    call('PEXPIRE', guesses, known.kind == 'link' and int(25 * HOUR_MS) or GUESSES_MS)
  end
  attempts = attempts + 1
  known.attempts = attempts
  rewrite_challenge(known)
end
charged.attempts_left, charged.link_mode = attempts_max - attempts, link_mode
return reply(charged)
