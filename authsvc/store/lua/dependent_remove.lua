-- Let a patient act for another one no more: the sessions in which it does end.
--
-- uses: retries limits guardianship
-- events: dependent.removed session.ended limited
-- args: guardian dependent delivery_ms limits*5
-- Replies {removed} | {more} (call again without limits: some sessions are left) | err: rate-limited, patient-not-found

local refused = charge(limits)
if refused then return refused end
local holder = read_patient(resolve(guardian))
if not holder then return refuse('patient-not-found') end
local id = resolve(dependent)
if not dependent_of(holder, id) then return reply_once({}) end
if end_acting(holder, id, 'dependent_removed') then return reply_once({more = true}) end
unrelate(holder.id, id)
return reply_once({removed = true})
