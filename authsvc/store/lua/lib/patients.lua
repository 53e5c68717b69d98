-- patient:<id>    record; `address` and `label` are sealed, `mailbox` is the keyed hash of the canonical address (without
--                 an address `address` is empty and `mailbox` "none:<id>", which no hash is: nobody shares it),
--                 `access` is 1 for who may sign in, `addressed` and `granted` are the epochs of the present address and
--                 access, `sessions` lists "<sid>.<end, ms>" of those that no other session has opened, those that
--                 act for this patient or for a dependent of it included; `dependents` and `guardians`: dependents.lua
-- mailbox:<hash>  the ids of the patients on that mailbox, one a line
-- merged:<id>     the id of the patient that this one was merged into
-- epoch           counter that orders changes of address and access against challenges and links, without a clock

local PATIENT = fields{'address', 'mailbox', 'label', 'locale', 'access', 'addressed', 'granted', 'created', 'sessions',
  'dependents', 'guardians'}

local function read_patient(id)
  local patient = read(PATIENT, key('patient', id))
  if patient then patient.id = id end
  return patient
end

local function write_patient(patient)
  call('SET', key('patient', patient.id), PATIENT.pack(patient))
end

-- The id that a merged patient's id stands for. A circle can't be made, for both must be on file when they are merged.
local function resolve(id)
  for _ = 1, 8 do
    local into = get(key('merged', id))
    if not into then return id end
    id = into
  end
  return id
end

-- Whoever is on file under this id, or under the one that it was merged into; or nil.
local function find_patient(id)
  if fetched[key('merged', id)] == nil then fetch({key('merged', id), key('patient', id)}) end
  return read_patient(resolve(id))
end

-- A mail is asked for, and there is nowhere to send it. What a webhook or the caller carries needs no address.
local function lacks_address(patient, channel)
  return channel == 'email' and patient.address == ''
end

local function read_epoch()
  return tonumber(get(KEYS[1] .. 'epoch') or '0')
end

-- The ids on a mailbox, in their order.
local function on_mailbox(mailbox)
  local ids = {}
  for id in string.gmatch(get(key('mailbox', mailbox)) or '', '[^\n]+') do ids[#ids + 1] = id end
  return ids
end

-- May this patient sign in on what began at the epoch `since` on this mailbox?
local function may_sign_in(patient, mailbox, since)
  return patient and patient.access == '1' and patient.mailbox == mailbox and tonumber(patient.addressed) <= since
    and tonumber(patient.granted) <= since
end

-- Everyone who may sign in on the mailbox.
local function signers_on(mailbox, since)
  local found = {}
  for _, id in ipairs(on_mailbox(mailbox)) do
    local patient = read_patient(id)
    if may_sign_in(patient, mailbox, since) then found[#found + 1] = patient end
  end
  return found
end

-- The first who may sign in on the mailbox; those behind aren't looked at. An unknown mailbox costs one look-up of a
-- patient too.
local function first_signer_on(mailbox, since)
  local ids = on_mailbox(mailbox)
  if #ids == 0 then read_patient('') end
  for _, id in ipairs(ids) do
    local patient = read_patient(id)
    if may_sign_in(patient, mailbox, since) then return patient end
  end
end

local function leave_mailbox(mailbox, id)
  local left = {}
  for _, other in ipairs(on_mailbox(mailbox)) do
    if other ~= id then left[#left + 1] = other end
  end
  if #left > 0 then
    call('SET', key('mailbox', mailbox), table.concat(left, '\n'))
  else
    call('DEL', key('mailbox', mailbox))
  end
end
