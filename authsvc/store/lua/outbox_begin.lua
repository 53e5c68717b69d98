-- A worker is about to send a message: is it still the one to do so, and is the message still wanted?
--
-- uses: challenges
-- args: queue entry consumer try lease_ms:int
--
-- `try` is the number of this try, from 1; it is set, not added to, so that a repeated call changes nothing.
-- Replies {patient, address (sealed)} | {cancelled} | err: lost (the lease ran out and another worker has the message,
-- or it is final)

local stream = KEYS[1] .. queue
local found = call('XRANGE', stream, entry, entry)
if #found == 0 or call('HGET', stream .. ':held', entry) ~= consumer then return refuse('lost') end
call('ZADD', stream .. ':due', int(now + lease_ms), entry)
call('HSET', stream .. ':tries', entry, try)
local message = MESSAGE.unpack(found[1][2][2])
if queue == 'logouts' then return reply({patient = message.patient, address = message.address}) end

local k = key('deliveries', message.patient)
local text = call('HGET', k, message.id)
if text then
  local delivery = DELIVERY.unpack(text)
  delivery.attempts = try
  call('HSET', k, message.id, DELIVERY.pack(delivery))
end

-- A mail can wait for days. What it rests on may have ended since it was queued.
local id = resolve(message.patient)
local patient = read_patient(id)
local basis, basis_id = string.match(message.basis, '^(%a+):(.*)$')
local wanted = patient ~= nil
if wanted and basis == 'challenge' then
  local known = read(CHALLENGE, key('challenge', basis_id))
  wanted = known and known.state == '' and tonumber(known.expires) > now
    and (may_sign_in(patient, known.mailbox, tonumber(known.epoch)) or known.kind == EMAIL_CHANGE and #signers(known) > 0)
elseif wanted and basis == 'link' then
  wanted = not why_dead(read_link(basis_id))
end
if not wanted then return reply({cancelled = true}) end
if message.address ~= '' then return reply({patient = message.patient, address = message.address}) end
return reply({patient = id, address = patient.address})
