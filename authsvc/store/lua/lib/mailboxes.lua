-- Putting a patient on another mailbox. Its scripts have the arguments `old_notice_id`, `old_notice_body`, `new_notice_id`,
-- `new_notice_body`, `notice_until`, `delivery_ms` and `notice_limits` (by mailbox: a stranger who gets one has asked for
-- none).
-- uses: limits sessions links

local MAILBOX_MAX = 200

local function next_epoch()
  return call('INCR', KEYS[1] .. 'epoch')
end

-- False where too many patients are on the mailbox.
local function join_mailbox(mailbox, id)
  local others = on_mailbox(mailbox)
  if #others >= MAILBOX_MAX then return false end
  others[#others + 1] = id
  table.sort(others)
  call('SET', key('mailbox', mailbox), table.concat(others, '\n'))
  return true
end

-- End the sessions that rest on the patient's own mailbox, but `sid` and the browser session that it was opened from.
local function end_other_sessions(patient, reason, sid)
  local session = sid ~= '' and read_session(sid)
  if not session or session.patient ~= patient.id then return end_sessions(patient, reason, nil, true) end
  local parent = session.parent ~= '' and read_session(session.parent)
  end_sessions(patient, reason, parent and parent.sid or sid, true)
  for _, child_sid in ipairs(items(parent and parent.children)) do
    local child = child_sid ~= sid and read_session(child_sid)
    if child then end_session(child, reason) end
  end
end

-- The patient is on another mailbox than on `former` {address, mailbox, locale}: what rests on that one ends, but for the
-- session `stays`. Codes end because they are older than `addressed`. Nothing rested on an address that wasn't there.
local function leave_former(patient, former, stays, via)
  leave_mailbox(former.mailbox, patient.id)
  record('patient.address_changed', 'patient', patient.id, 'via', via)
  if former.address == '' then return end
  end_other_sessions(patient, 'address_changed', stays)
  -- Links are found out when they are used; the tokens that they gave are in the feed for offline verifiers.
  for _, link_id in ipairs(links_of('p:' .. patient.id)) do publish_revocation('l', link_id) end
  for _, notice in ipairs({{old_notice_id, old_notice_body, former.address, former.locale, former.mailbox},
    {new_notice_id, new_notice_body, patient.address, patient.locale, patient.mailbox}}) do
    if notice[3] ~= '' and not charge(limits_of(notice_limits, notice[5])) then
      enqueue_mail('mails', {id = notice[1], kind = 'address-changed', channel = 'email', patient = patient.id,
        address = notice[3], body = notice[2], locale = notice[4], ['until'] = notice_until})
    end
  end
end
