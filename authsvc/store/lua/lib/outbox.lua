-- Queues for the worker: `codes` and `mails`, so that a code never waits behind thousands of other mails; `webhook-codes`
-- and `webhooks`, the same for what a practice's own provider carries, and `logouts` (OpenID Connect Back-Channel Logout
-- 1.0), so that a server that doesn't answer delays no mail.
--
-- <queue>                stream {m = record}; an entry stays until its message is final
-- <queue>:cursor         id of the newest entry that was ever handed out: what lies behind it is new
-- <queue>:due            sorted set of entries handed out, by the instant of the next try; while a worker holds one that
--                        is the end of its lease, so a worker that vanished needs no other care
-- <queue>:held           hash of entry → consumer, while a worker holds it
-- <queue>:tries          hash of entry → tries so far
-- deliveries:<patient>   hash of message id → record, for `delivery_ms`: what happened to the patient's mails
--
-- `address` of a message is sealed, and empty where the worker shall look it up when it sends; `basis` is what the mail
-- rests on ("challenge:<id>" or "link:<id>"): a mail whose basis has ended isn't sent. `nobody` is 1 for a message to an
-- unknown mailbox: it is queued to be the same work and goes nowhere.

local MESSAGE = fields{'id', 'kind', 'channel', 'patient', 'address', 'body', 'locale', 'until', 'queued', 'nobody', 'basis'}
local DELIVERY = fields{'kind', 'channel', 'state', 'queued', 'updated', 'attempts', 'detail'}
local DELIVERIES_MAX = 100  -- remembered of one patient

local function enqueue(queue, message)
  message.queued = now_text
  call('XADD', KEYS[1] .. queue, '*', 'm', MESSAGE.pack(message))
end

local function forget_oldest_delivery(k)
  local oldest, oldest_at
  local flat = call('HGETALL', k)
  for at = 1, #flat, 2 do
    local queued = tonumber(DELIVERY.unpack(flat[at + 1]).queued)
    if not oldest or queued < oldest_at then oldest, oldest_at = flat[at], queued end
  end
  call('HDEL', k, oldest)
end

-- A message to nobody has a key of its own, so that it costs the same however many wait.
local function deliveries_key(patient, message_id)
  return key('deliveries', patient ~= '' and patient or ':' .. message_id)
end

local function enqueue_mail(queue, message)
  if message.channel == 'webhook' then queue = queue == 'codes' and 'webhook-codes' or 'webhooks' end
  enqueue(queue, message)
  local k = deliveries_key(message.patient, message.id)
  if call('HLEN', k) >= DELIVERIES_MAX then forget_oldest_delivery(k) end
  call('HSET', k, message.id, DELIVERY.pack({kind = message.kind, channel = message.channel, state = 'queued',
    queued = now_text, updated = now_text, attempts = '0'}))
  call('PEXPIRE', k, delivery_ms)
end
