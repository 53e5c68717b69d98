-- guesses:<mailbox>  hash: `consecutive` misses (cleared by a verified code only) and `hour:<n>`, misses in hour n of
--                    the epoch (never cleared). The present hour and the 24 before it are summed, so that no window of
--                    24 hours ever holds more than the budget.

local HOUR_MS = 3600000
local GUESSES_MS = '34560000000'  -- 400 days: consecutive misses outlive every code and session

local function count_misses(mailbox)
  local k = key('guesses', mailbox)
  local flat, hour, consecutive, day = call('HGETALL', k), math.floor(now / HOUR_MS), 0, 0
  for at = 1, #flat, 2 do
    local field, value = flat[at], tonumber(flat[at + 1])
    if field == 'consecutive' then
      consecutive = value
    elseif tonumber(string.sub(field, 6)) < hour - 24 then
      call('HDEL', k, field)
    else
      day = day + value
    end
  end
  return consecutive, day
end

-- Too many misses: mails to this mailbox carry a link instead of a code, and no code of it opens anything.
local function in_link_mode(mailbox)
  local consecutive, day = count_misses(mailbox)
  return consecutive >= misses_consecutive or day >= misses_per_day
end
