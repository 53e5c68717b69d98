-- "Who are you?": once, within the time to choose, and only a patient who may sign in now, or for whom such a one may act.
--
-- uses: limits challenges sessions unconfirmed
-- unconfirmed: choice challenge client call_id
-- events: code.verified challenge.gone session.ended limited
-- args: challenge client patient choose_ms:int replay_ms:int replays_max:int delivery_ms
-- args: session_id session_nonce session_audience session_scope session_scope_text session_expires:int
-- args: former_sid former_secret limits*5 acting_scopes*2
--
-- At the hosted pages the same choice gets the same session again, for a few seconds.
-- Replies {session} | err: rate-limited, challenge-gone (reason), not-choosable

local refused = charge(limits)
if refused then return refused end
local known = read_challenge()

if not known then return challenge_gone('unknown') end
if known.client ~= client then return challenge_gone('other_client') end
local named = resolve(patient)
if known.state == 'won' and known.chosen == named then
  local session = read_session(known.session)
  local fresh = now - tonumber(known.won_at) <= replay_ms and tonumber(known.replays) < replays_max
  if session and known.last_call == call_id then return reply({session = session_reply(session)}) end
  if take_unconfirmed(known.last_call) and now - tonumber(known.won_at) <= choose_ms then
    session = begin_anew(known.session)
    known.won_at, known.replays, fresh = now_text, -1, true
  elseif client ~= '' then
    session = nil
  end
  if session and fresh then  -- the browser may never have seen the first answer
    known.replays = tonumber(known.replays) + 1
    rewrite_challenge(known)
    return reply({session = session_reply(session)})
  end
end
if known.state ~= 'choose' then return challenge_gone(known.state == 'won' and 'spent' or 'unproven') end
if now - tonumber(known.won_at) > choose_ms then return challenge_gone('expired') end
local chosen = choice_of(choices(known), named)
if not chosen then return refuse('not-choosable') end
-- The winning tag goes, so that a late repeat of the code doesn't open what the choice has opened.
known.winning_tag, known.state, known.session, known.chosen, known.won_at = '', 'won', session_id, named, now_text
rewrite_challenge(known)
local session = open_session(chosen, known.channel, now_text)
record('code.verified', 'patient', named, 'guardian', session.guardian, 'sid', session.sid, 'via', 'choice')
return reply({session = session_reply(session)})
