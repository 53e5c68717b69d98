-- Whom the person at a browser may switch to without another mail: itself, and its dependents. Changes nothing.
--
-- uses: session_records dependents
-- reads: patients
-- args: session_id secret idle_ms:int
-- `secret` is the digest of the cookie's. Empty once the sign-in is older than the idle time.
-- Replies {choose, acting = {id, sealed label, …}}

local session = read_session(session_id)
if not session or session.client ~= '' or session.nonce ~= secret or not is_alive(session, idle_ms)
  or now - tonumber(session.opened) > idle_ms then return reply({}) end
local holder = read_patient(person(session))
local own, acting = listed_choices(choices_of({holder}))
return reply({choose = own, acting = acting})
