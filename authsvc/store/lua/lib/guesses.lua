-- guesses:<mailbox>  hash: `consecutive` misses (cleared by a verified code only) and `hour:<n>`, misses in hour n of
--                    the epoch (never cleared). The present hour and the 24 before it are summed, so that no window of
--                    24 hours ever holds more than the budget.
--                    Of a mailbox that nobody is on they are counted as storage; else the patient's own bytes hold them.
-- guesses-by-links:<mailbox>  the same hours for challenges that came by a link whose token a client has seen. They have
--                    a budget of their own, so that they stop no typed start. A link that was only ever mailed isn't
--                    counted: whoever holds it reads the mailbox.

local HOUR_MS = 3600000
local GUESSES_MS = '34560000000'  -- 400 days: consecutive misses outlive every code and session

local function sum_misses(k)
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
  return consecutive, day, #flat > 0
end

local function count_misses(mailbox)
  return sum_misses(key('guesses', mailbox))
end

-- Too many misses: mails to this mailbox carry a link instead of a code, and no code of it opens anything. And whether
-- any are remembered.
local function in_link_mode(mailbox)
  local consecutive, day, any = count_misses(mailbox)
  return consecutive >= misses_consecutive or day >= misses_per_day, any
end

-- No code of a link opens anything while too many were guessed, unless the link was only ever mailed.
local function links_in_link_mode(link, mailbox)
  if not link or link.mailbox_only == '1' then return false end
  local _, day = sum_misses(key('guesses-by-links', mailbox))
  return day >= misses_by_links_per_day
end
