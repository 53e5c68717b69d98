-- Count mails of a practice, or of the whole site, and publish the brake that issuing reads.
--
-- The bucket is GCRA's, but it only counts: what is in the outbox was promised to a patient, so it is the issuing of
-- more that stops. P is the practice's prefix or the site's.
--
-- a: add       mails taken up now; 0 looks again
--    quota, window_s, share  so many mails a window, and what part of it typed starts may use
-- Returns {brake = '' | 'typed' | 'all'}
--
-- mails  the theoretical arrival time, ms: when the bucket is full again
-- brake  typed | all; ends when the bucket is below `share`, also if no worker is left to look again;
--        at least 1 s, which is how old a reader's view of it may be

local window = a.window_s * 1000
local step = math.max(1, math.floor(window / a.quota))
local tat = math.max(tonumber(call('GET', key('mails')) or '0'), now) + a.add * step
tat = math.min(tat, now + window)
local used = tat - now
if used > 0 then call('SET', key('mails'), int(tat), 'PX', int(used + SLACK_MS)) end

local brake, free_in = '', math.ceil(used - a.share * window)
if used + step > window then brake = 'all' elseif free_in >= 0 then brake = 'typed' end
if brake == '' then
  call('DEL', key('brake'))
else
  call('SET', key('brake'), brake, 'PX', int(math.max(1000, free_in)))
end
return answer({brake = brake})
