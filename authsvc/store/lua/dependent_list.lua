-- For whom a patient may act.
--
-- uses: limits dependents
-- events: limited
-- reads: dependents
-- args: guardian limits*5
-- Replies {guardian, found = {id, ends, workflows, …}} | err: rate-limited, patient-not-found

local refused = charge(limits)
if refused then return refused end
local holder = read_patient(resolve(guardian))
if not holder then return refuse('patient-not-found') end
local found = {}
for _, relation in ipairs(dependents_of(holder)) do
  for _, value in ipairs({relation.id, relation.ends, relation.workflows}) do found[#found + 1] = value end
end
return reply({guardian = holder.id, found = found})
