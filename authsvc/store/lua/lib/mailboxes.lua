-- Putting a patient on another mailbox. Its scripts have the arguments `old_notice_id`, `old_notice_body`, `new_notice_id`,
-- `new_notice_body`, `notice_until`, `delivery_ms`, `notice_limits` (by mailbox: a stranger who gets one has asked for none)
-- and those of the mail budgets.
-- uses: limits sessions links mail_throttle

local function next_epoch()
  return call('INCR', KEYS[1] .. 'epoch')
end

local function join_mailbox(mailbox, id)
  local others = on_mailbox(mailbox)
  others[#others + 1] = id
  table.sort(others)
  call('SET', key('mailbox', mailbox), table.concat(others, '\n'))
end

-- End the sessions that rest on the patient's own mailbox, but `sid` and the browser session that it was opened from.
-- True where some are left for the next call.
local function end_other_sessions(patient, reason, sid)
  local session = sid ~= '' and read_session(sid)
  local stays = session and session.patient == patient.id
  local parent = stays and session.parent ~= '' and read_session(session.parent)
  local _, more = end_sessions(patient, reason, parent and parent.sid or stays and sid, true)
  if more then return true end
  for _, child_sid in ipairs(items(parent and parent.children)) do
    local child = child_sid ~= sid and read_session(child_sid)
    if child then end_session(child, reason) end
  end
  return false
end

-- End what rests on the patient's mailbox, some of it at a time and before anything changes: a change that was cut off
-- is called again and goes on. Sessions but `stays`; where the address changes all links, else access links.
-- `after` is empty, then what the call before returned; nil: nothing is left.
local function end_some(patient, reason, stays, after)
  if end_other_sessions(patient, reason, stays) then return after ~= '' and after or '-' end
  local ids, more = some_links_of('p:' .. patient.id, after, LINKS_AT_ONCE)
  for _, id in ipairs(ids) do
    local link = read_link(id)
    if reason == 'address_changed' then
      if link and link.on_file == '1' and not why_dead(link) then
        link.ended = reason
        rewrite_link(link)
      end
      publish_revocation('l', id)  -- also of one that is used up: what it gave may be good still
    elseif link and link.kind == 'access' then
      end_link(link, 'revoked')
    end
  end
  return more
end

-- The patient is on another mailbox than on `former` {address, mailbox, locale}. What rested on that one has ended; codes
-- end because they are older than `addressed`. Nothing rested on an address that wasn't there.
local function leave_former(patient, former, via)
  leave_mailbox(former.mailbox, patient.id)
  record('patient.address_changed', 'patient', patient.id, 'via', via)
  if former.address == '' then return end
  for _, notice in ipairs({{old_notice_id, old_notice_body, former.address, former.locale, former.mailbox},
    {new_notice_id, new_notice_body, patient.address, patient.locale, patient.mailbox}}) do
    if notice[3] ~= '' and not charge(limits_of(notice_limits, notice[5])) then
      queue_mail('mails', {id = notice[1], kind = 'address-changed', channel = 'email', patient = patient.id,
        address = notice[3], body = notice[2], locale = notice[4], ['until'] = notice_until})
    end
  end
end
