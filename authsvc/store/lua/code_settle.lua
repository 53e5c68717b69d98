-- Compare the hashed code, and on a match open exactly one session, whatever runs beside this.
--
-- uses: settle sessions
-- unconfirmed: code challenge client call_id
-- seldom: missed challenge_gone refuse_late choice_of begin_anew read_session end_session replace_former scope_of signers_on listed_choices read_link rewrite_link
-- events: code.verified code.choose code.missed challenge.gone session.ended
-- args: challenge client tag link_mode hour attempts_left patient choose_ms:int replay_ms:int delivery_ms
-- args: session_id session_nonce session_audience session_scope session_scope_text session_expires:int
-- args: former_sid former_secret acting_scopes*2
--
-- `link_mode`, `hour` and `attempts_left` come from code_charge, `patient` is the id that the caller named (or empty),
-- `session_…` is prepared and used by the first match, `former_…` is the browser's present session at the hosted pages.
-- `acting_scopes` are the scopes of each extra workflow, for those who may act with some of them only.
-- Replies {session} | {choose, acting = {id, sealed label, …}} | err: invalid-code (reason, attempts_left), challenge-gone
--
-- Tags are compared as Lua strings. They are keyed and memory-hard images of what was typed, so a difference in time
-- would tell a caller nothing about the stored tag that a caller could search for.

local known = read_challenge()

local function choose_among(found)
  local own, acting = listed_choices(found)
  return reply({choose = own, acting = acting})
end

if not known or known.client ~= client or known.kind == EMAIL_CHANGE then return challenge_gone('unknown') end
if known.state ~= '' then
  local refused, again = refuse_late(known)
  if refused then return refused end
  local session = known.state == 'won' and (again and begin_anew or read_session)(known.session)
  if known.state == 'won' and (not session or session.generation ~= '0') then return challenge_gone('spent') end
  known.last_call = call_id
  write(CHALLENGE, key('challenge', challenge), known, math.max(tonumber(known.expires), tonumber(known.won_at) + choose_ms))
  if known.state == 'choose' then return choose_among(choices(known)) end
  return reply({session = session_reply(session)})
end
if tonumber(known.expires) <= now then return challenge_gone('expired') end
if not is_live_tag(known, tag) then return missed(known, 'wrong') end
if known.unknown == '1' then return missed(known, 'dummy') end
if link_mode == '1' then return missed(known, 'link_mode') end
local found = choices(known)
if #found == 0 then return missed(known, 'no_access') end

clear_misses(known, hour)

local chosen
if patient ~= '' then
  chosen = choice_of(found, resolve(patient))
elseif #found == 1 then
  chosen = found[1]
end
known.winning_tag, known.won_at, known.replays = tag, now_text, '0'
if not chosen then
  known.state = 'choose'
  known.last_call = call_id
  write(CHALLENGE, key('challenge', challenge), known, math.max(tonumber(known.expires), now + choose_ms))
  record('code.choose', 'patients', #found)
  return choose_among(found)
end
known.state, known.session = 'won', session_id
rewrite_challenge(known)
local session = open_session(chosen, known.channel, now_text)
record('code.verified', 'patient', session.patient, 'guardian', session.guardian, 'sid', session.sid, 'via', known.kind)
return reply({session = session_reply(session)})
