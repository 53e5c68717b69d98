-- challenge:<id>  record, under the digest of the challenge that the caller holds. `kind` typed, patient or link;
--                 `networks` at the start; `pepper` id, hash `profile` and `salt` of its codes; `code1` to `code3` are the
--                 live codes, newest first, as "<tag>|<expires>"; `sent` is when the last mail went; `epoch` at the
--                 start; `unknown` is 1 for an unknown mailbox; `state` empty, choose or won. Once won: `winning_tag`,
--                 `won_at`, the patient `chosen`, `session` and `replays`. `last_call` is the call that changed it last
-- uses: patients guesses links outbox

local CHALLENGE = {'client', 'kind', 'mailbox', 'patient', 'link', 'networks', 'pepper', 'profile', 'salt', 'code1',
  'code2', 'code3', 'expires', 'attempts', 'sent', 'resends', 'epoch', 'channel', 'locale', 'unknown', 'state',
  'winning_tag', 'won_at', 'chosen', 'session', 'replays', 'last_call'}

local function read_challenge()
  return read(CHALLENGE, key('challenge', challenge))
end

local function rewrite_challenge(record)
  record.last_call = call_id
  rewrite(CHALLENGE, key('challenge', challenge), record)
end

-- Everyone whom the challenge may sign in now: the patient it was started for, or all who share the mailbox.
local function signers(record)
  local epoch = tonumber(record.epoch)
  if record.patient == '' then return signers_on(record.mailbox, epoch) end
  local patient = read_patient(record.patient)
  return may_sign_in(patient, record.mailbox, epoch) and {patient} or {}
end

local function is_live_tag(record, tag)
  for _, code in ipairs({record.code1, record.code2, record.code3}) do
    local known, expires = string.match(code, '^([^|]+)|(%d+)$')
    if known == tag and tonumber(expires) > now then return true end
  end
  return false
end
