-- link:<id>       record. `digest` of the token, `patient` (empty: whoever is on `mailbox`), `kind` instant or access,
--                 `epoch` at issue, `on_file` is 1 if the patient was, `misses` of codes that it started, `ended` is why
--                 it was ended, `channel` carries it, `client` issued it, `root` is the first link of the lineage, which
--                 counts `resends` and `resent_at` (empty: this one is), `last_call` is the call that used it last,
--                 `mailbox_only` is 1 where the token was mailed and no client has seen it. `life` in ms stood in records
--                 of before: it is what lies between `issued` and `expires`
-- uses: patients

local LINK = fields{'digest', 'patient', 'mailbox', 'workflow', 'kind', 'resource', 'issued', 'expires', 'uses', 'max_uses',
  'epoch', 'on_file', 'misses', 'ended', 'channel', 'client', 'root', 'resends', 'resent_at', 'life', 'last_call',
  'mailbox_only'}

local function read_link(id)
  local link = read(LINK, key('link', id))
  if link then link.id = id end
  return link
end

local function rewrite_link(link)
  rewrite(LINK, key('link', link.id), link)
end

-- Why the link can't be used, or nil. To be told "expired" needs the token, so a stranger learns nothing.
local function why_dead(link)
  if not link then return 'revoked' end
  if link.ended ~= '' then return link.ended end
  local epoch = tonumber(link.epoch)
  if link.patient == '' then
    if not first_signer_on(link.mailbox, epoch) then return 'revoked' end
  elseif link.on_file == '1' then
    local patient = find_patient(link.patient)
    if not patient then return 'revoked' end
    if tonumber(patient.addressed) > epoch then return 'address_changed' end
    if link.kind == 'access' and (patient.access ~= '1' or tonumber(patient.granted) > epoch) then return 'revoked' end
  end
  if tonumber(link.expires) <= now then return 'expired' end
  if link.max_uses ~= '' and tonumber(link.uses) >= tonumber(link.max_uses) then return 'used_up' end
  return nil
end

-- Time or uses that have run out take nothing back from what the link gave before.
local function is_revoked(link)
  local dead = why_dead(link)
  return dead and dead ~= 'expired' and dead ~= 'used_up' and dead
end
