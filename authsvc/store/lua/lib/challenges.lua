-- challenge:<id>  record, under the digest of the challenge that the caller holds. `kind` typed, patient, link or email-change;
--                 `networks` at the start; `pepper` id, hash `profile` and `salt` of its codes; `code1` to `code3` are the
--                 live codes, newest first, as "<tag>|<expires>"; `sent` is when the last mail went; `epoch` at the
--                 start; `unknown` is 1 for an unknown mailbox; `state` empty, choose or won. Once won: `winning_tag`,
--                 `won_at`, the patient `chosen`, `session` and `replays`. `last_call` is the call that changed it last
--                 Of a change of the email address `mailbox` and `address` (sealed) are the new ones, and `stays` is the
--                 session that doesn't end; its code opens no session, and no code of a sign-in changes an address
-- uses: patients dependents guesses links outbox

local CHALLENGE = fields{'client', 'kind', 'mailbox', 'patient', 'link', 'networks', 'pepper', 'profile', 'salt', 'code1',
  'code2', 'code3', 'expires', 'attempts', 'sent', 'resends', 'epoch', 'channel', 'locale', 'unknown', 'state',
  'winning_tag', 'won_at', 'chosen', 'session', 'replays', 'last_call',
  'address', 'stays'}

local EMAIL_CHANGE = 'email-change'

local function read_challenge()
  return read(CHALLENGE, key('challenge', challenge))
end

local function rewrite_challenge(record)
  record.last_call = call_id
  rewrite(CHALLENGE, key('challenge', challenge), record)
end

local function challenge_gone(reason)
  record('challenge.gone', 'reason', reason)
  return refuse('challenge-gone', reason)
end

-- Everyone whom the challenge may sign in now: the patient it was started for, or all who share the mailbox. For a change
-- of the address: the patient whose address is still the one that it was.
local function signers(record)
  local epoch = tonumber(record.epoch)
  if record.kind == EMAIL_CHANGE then
    local patient = read_patient(record.patient)
    return patient and tonumber(patient.addressed) <= epoch and {patient} or {}
  end
  if record.patient == '' then return signers_on(record.mailbox, epoch) end
  local patient = read_patient(record.patient)
  return may_sign_in(patient, record.mailbox, epoch) and {patient} or {}
end

-- One of them, whom a mail is for.
local function first_signer(record)
  if record.patient ~= '' then return signers(record)[1] end
  return first_signer_on(record.mailbox, tonumber(record.epoch))
end

-- Whom they may go on as. A sign-in that began with one patient is for that one and its dependents alone, whoever else
-- shares the mailbox.
local function choices(record)
  return choices_of(signers(record))
end

local function is_live_tag(record, tag)
  for _, code in ipairs({record.code1, record.code2, record.code3}) do
    local known, expires = string.match(code, '^([^|]+)|(%d+)$')
    if known == tag and tonumber(expires) > now then return true end
  end
  return false
end

-- The mailbox is proven: the run of misses ends, and the one that `code_charge` has reserved is given back.
local function clear_misses(record, hour)
  local guesses = key('guesses', record.mailbox)
  if record.kind == 'link' then
    call('HDEL', guesses, 'consecutive')
    local link = read_link(record.link)
    if link then
      link.misses = math.max(tonumber(link.misses) - 1, 0)
      rewrite_link(link)
    end
    guesses = link and link.mailbox_only ~= '1' and key('guesses-by-links', record.mailbox)
  end
  local field = 'hour:' .. hour
  local misses = guesses and call('HGET', guesses, field)  -- an operator may have cleared the misses meanwhile
  if misses == '1' then
    call('HDEL', guesses, field, 'consecutive')  -- with them goes the key of a mailbox that had no other miss
  elseif record.kind ~= 'link' then
    call('HDEL', guesses, 'consecutive')
  end
  if misses and misses ~= '1' then call('HINCRBY', guesses, field, '-1') end
end
