-- links:<bucket>  hash of "p:<patient>" or "r:<resource>" → "<link id>.<remembered until, s>,…". Buckets hold many
--                 owners, since a key of its own for each costs four times the memory
-- uses: link_records audit patients revocations

local BUCKETS = 512
local LINKS_MAX = 500  -- remembered for one patient or resource

local function bucket_of(owner)
  return key('links', bucket(owner, BUCKETS))
end

-- The ids in an owner's list; what has outlived its time is left out.
local function remembered(list)
  local ids, kept = {}, {}
  for id, deadline in string.gmatch(list or '', '([^.,]+)%.(%d+)') do
    if tonumber(deadline) * 1000 > now then
      ids[#ids + 1] = id
      kept[#kept + 1] = id .. '.' .. deadline
    end
  end
  return ids, kept
end

-- The ids that are remembered for an owner.
local function links_of(owner)
  return remembered(call('HGET', bucket_of(owner), owner))
end

local function remember_link(owner, id, deadline_ms)
  local bucket, _, kept = bucket_of(owner), links_of(owner)
  kept[#kept + 1] = id .. '.' .. int(math.ceil(deadline_ms / 1000))
  call('HSET', bucket, owner, table.concat(kept, ','))
end

-- Every insertion looks at two owners of the bucket and drops them if all of theirs is over. Their lists come along in
-- one command: with a command for each, an unknown mailbox, whose every link is in another bucket, would cost more or
-- fewer of them than a known one.
local function forget_old_owners(owner)
  local bucket = bucket_of(owner)
  local found = call('HRANDFIELD', bucket, '2', 'WITHVALUES')
  for at = 1, #found, 2 do
    if found[at] ~= owner and #remembered(found[at + 1]) == 0 then call('HDEL', bucket, found[at]) end
  end
end

-- Keep a new link for `keep_ms` past its end, so that its page can say what happened.
local function save_link(link, keep_ms)
  local deadline = tonumber(link.expires) + keep_ms
  link.uses, link.misses, link.epoch = 0, 0, read_epoch()
  link.resends, link.resent_at, link.ended = 0, 0, ''
  write(LINK, key('link', link.id), link, deadline)
  -- A link to a mailbox gets an owner of its own that nobody asks for: for an unknown mailbox it is the same work.
  local owner = 'p:' .. (link.patient ~= '' and link.patient or ':' .. link.id)
  remember_link(owner, link.id, deadline)
  forget_old_owners(owner)
  if link.resource ~= '' then
    remember_link('r:' .. link.resource, link.id, deadline)
    forget_old_owners('r:' .. link.resource)
  end
end

local function end_link(link, reason)
  local dead = why_dead(link)
  if dead == 'used_up' and link.last_call ~= '' then  -- nor may the call that used it up be repeated
    link.last_call = ''
    rewrite_link(link)
  end
  if dead then return false end
  link.ended = reason
  rewrite_link(link)
  publish_revocation('l', link.id)
  record('link.ended', 'patient', link.patient, 'link', link.id, 'reason', reason)
  return true
end
