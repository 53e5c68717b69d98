-- Count mails of the whole site, and publish the throttle that issuing reads. Each practice's own are counted where they are
-- queued (lib/mail_throttle.lua).
--
-- args: add:int quota:int window_s:int typed_share
--
-- The bucket is GCRA's, but it only counts: what is in the outbox was promised to a patient, so it is the issuing of more
-- that stops. `add` mails were taken up now; 0 looks again. Typed starts may use `typed_share` of the quota,
-- bulk nine tenths of that, so that codes always have a part that nothing else can use.
-- mail-count     theoretical arrival time, ms: when the bucket is full again
-- mail-throttle  bulk | typed | all; ends when the bucket is below the share, also if no worker is left to look again; at least
--                1 s, which is how old a reader's view of it may be
-- Replies {throttle = bulk | typed | all} or {}

local BULK_OF_TYPED = 0.9

local window = window_s * 1000
local step = math.max(1, math.floor(window / quota))
local arrival = math.max(tonumber(call('GET', KEYS[1] .. 'mail-count') or '0'), now) + add * step
arrival = math.min(arrival, now + window)
local used = arrival - now
if used > 0 then call('SET', KEYS[1] .. 'mail-count', int(arrival), 'PX', int(used + SLACK_MS)) end

local throttle, free_in = '', math.ceil(used - tonumber(typed_share) * window)
if used + step > window then
  throttle = 'all'
elseif free_in >= 0 then
  throttle = 'typed'
else
  free_in = math.ceil(used - BULK_OF_TYPED * tonumber(typed_share) * window)
  if free_in >= 0 then throttle = 'bulk' end
end
if throttle == '' then
  call('DEL', KEYS[1] .. 'mail-throttle')
else
  call('SET', KEYS[1] .. 'mail-throttle', throttle, 'PX', int(math.max(1000, free_in)))
end
return reply({throttle = throttle})
