-- What the two scripts share that compare a code. `tag` is the hash of what was typed; `link_mode` and `attempts_left`
-- come from code_charge.
-- uses: challenges unconfirmed

local function missed(known, reason)
  record('code.missed', 'reason', reason, 'patient', known.patient)
  return reply({err = 'invalid-code', reason = reason, attempts_left = attempts_left})
end

-- A code has won already: is this a parallel submit of it, or the replay that code_charge let through? The refusal if it
-- is neither; else nil, and whether the answer before was a 503, after which the code counts as not used.
local function refuse_late(known)
  if link_mode == '1' or known.winning_tag ~= tag then return challenge_gone('spent') end
  local again = take_unconfirmed(known.last_call)
  if again then
    if tonumber(known.expires) <= now or not is_live_tag(known, tag) then return challenge_gone('expired') end
    known.won_at, known.replays = now_text, '0'
  elseif now - tonumber(known.won_at) > replay_ms then
    return challenge_gone('spent')
  end
  return nil, again
end
