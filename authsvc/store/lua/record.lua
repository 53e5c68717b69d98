-- Append one audit entry for an act that has no script of its own.
--   audit happened; facts
-- Returns {}

record(a.audit.happened, a.facts)
return reply({})
