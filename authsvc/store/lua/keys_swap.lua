-- One step of the ring, from exactly the text that the step was computed from.
--
--   read (JSON text, '' for none), ring (JSON text); audit changed
-- Returns {} | err: conflict

if (call('GET', key('ring')) or '') ~= a.read then return answer({err = 'conflict'}) end
call('SET', key('ring'), a.ring)
record(a.audit.changed)
return reply({})
