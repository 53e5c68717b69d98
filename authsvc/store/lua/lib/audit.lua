-- Audit entries. `audit_text` is what the caller knows (instant, actor, call, details, reason), `macs[event]` the MAC
-- over that, the stream and the event: no entry can be turned into another, and one that stands twice is found.
--
-- audit                  stream with the ids 1-0, 2-0, …: {t = audit_text, e = event, m = MAC, d = details
--                        "name=value&…", p = how many entries back the one before stands of the same patient, event,
--                        actor and person, each empty where there is none, and of the same guardian where there is one}
-- audit-n                number of the newest entry; entries are numbered without gaps
-- audit-newest           hash of "e<event>", "a<actor>" and "b<person>" → number of the newest entry of that; `first` is
--                        the first entry that has a `p`, `first_guardian` the first whose guardian would stand in it
-- audit-newest:<bucket>  the same by patient, and by "~<guardian>": 512 buckets, since one hash would take four times the
--                        memory

-- What an entry can be found by, by term; nil where it has none.
local function audit_terms(text, event, details)
  local actor, known = string.match(text, '^[^\n]*\n([^\n]*)\n[^\n]*\n([^\n]*)')
  return {p = string.match('&' .. details, '&patient=([^&]+)'), e = event, a = actor,
    b = string.match('&' .. known, '&by=([^&]+)'), g = string.match('&' .. details, '&guardian=([^&]+)')}
end

-- The key and the field that hold the number of the newest entry of a term.
local function newest_of(term, value)
  if term == 'p' then return key('audit-newest', bucket(value, 512)), value end
  if term == 'g' then return key('audit-newest', bucket(value, 512)), '~' .. value end
  return KEYS[1] .. 'audit-newest', term .. value
end

-- How far back the entries before the new one `n` stand, which from now on is the newest.
local function link_back(n, terms)
  local function back(number)
    return number and int(n - tonumber(number)) or ''
  end
  local k, event, actor, person = KEYS[1] .. 'audit-newest', 'e' .. terms.e, 'a' .. terms.a, terms.b and 'b' .. terms.b
  local newest = call('HMGET', k, event, actor, person or '', 'first_guardian')
  call('HSET', k, event, int(n), actor, int(n), person or actor, int(n))
  if not newest[1] then call('HSETNX', k, 'first', int(n)) end
  if not newest[4] then call('HSETNX', k, 'first_guardian', int(n)) end
  local function link(term)
    local of_bucket, field = newest_of(term, terms[term])
    local before = call('HGET', of_bucket, field)
    call('HSET', of_bucket, field, int(n))
    return back(before)
  end
  local ways = {terms.p and link('p') or '', back(newest[1]), back(newest[2]), back(newest[3])}
  if terms.g then ways[5] = link('g') end
  return table.concat(ways, ',')
end

-- Append an entry. Details are names and values in turn, known to the script only; values hold no "&" or "=".
local function record(event, ...)
  local details, values = {}, {...}
  for at = 1, select('#', ...), 2 do
    local value = values[at + 1]
    if value and value ~= '' then
      details[#details + 1] = values[at] .. '=' .. (type(value) == 'number' and int(value) or value)
    end
  end
  details = table.concat(details, '&')
  local n = call('INCR', KEYS[1] .. 'audit-n')
  call('XADD', KEYS[2], int(n) .. '-0', 't', audit_text, 'e', event, 'm', macs[event], 'd', details,
    'p', link_back(n, audit_terms(audit_text, event, details)))
  recorded[#recorded + 1] = {event, details}
end
