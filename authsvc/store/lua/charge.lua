-- Count a call against limits that guard nothing else in this slot.
--
-- uses: limits
-- events: client.refused limited
-- args: recorded_event limits*5
-- `recorded_event` is recorded when there is room; empty: nothing is.
-- Replies {} | err: rate-limited

local refused = charge(limits)
if refused then return refused end
if recorded_event ~= '' then record(recorded_event) end
return reply({})
