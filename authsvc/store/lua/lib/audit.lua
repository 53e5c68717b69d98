-- Audit entries. `audit_text` is what the caller knows (instant, actor, call, details, reason), `mac_of(event)` the MAC
-- over that, the stream and the event: no entry can be turned into another, and one that stands twice is found.
--
-- audit    stream with the ids 1-0, 2-0, …: {t = audit_text, e = event, m = MAC, d = details "name=value&…"}
-- audit-n  number of the newest entry; entries are numbered without gaps

-- Append an entry. Details are names and values in turn, known to the script only; values hold no "&" or "=", and numbers
-- are whole and below 10^14.
local function record(event, ...)
  local details, values = '', {...}
  for at = 2, select('#', ...), 2 do
    local value = values[at]
    if value and value ~= '' then
      details = details .. (details == '' and '' or '&') .. values[at - 1] .. '=' .. value
    end
  end
  call('XADD', KEYS[2], int(call('INCR', KEYS[1] .. 'audit-n')) .. '-0', 't', audit_text, 'e', event, 'm', mac_of(event),
    'd', details)
  recorded[#recorded + 1] = {event, details}
end
