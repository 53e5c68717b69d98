-- links:<bucket>  hash of "p:<patient>" or "r:<resource>" → "<link id>.<remembered until, s>,…". Buckets hold many
--                 owners, since a key of its own for each costs four times the memory
-- uses: link_records audit patients revocations storage

local BUCKETS = 512
local LINKS_MAX = 500  -- remembered for one patient or resource
local ITEM_BYTES = 13  -- that one of them takes at least: a letter, two separators, an instant of ten digits
local LINKS_AT_ONCE = 10  -- that one script ends: about a millisecond
local LOOKED_AT = 20  -- of the oldest, for dead ones to forget, where a list is full

local bucket_keys = {}  -- by owner

local function bucket_of(owner)
  local bucket = bucket_keys[owner]
  if not bucket then
    bucket = key('links', bucket_number(owner, BUCKETS))
    bucket_keys[owner] = bucket
  end
  return bucket
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

local lists = {}  -- those that were read or written already, by owner

local function list_of(owner)
  if lists[owner] == nil then lists[owner] = call('HGET', bucket_of(owner), owner) or '' end
  return lists[owner]
end

-- The ids that are remembered for an owner.
local function links_of(owner)
  return remembered(list_of(owner))
end

local function write_list(owner, list)
  lists[owner] = list
  call('HSET', bucket_of(owner), owner, list)
end

-- At most `most` of an owner's links, those behind `after` in its list (empty: from the beginning); and the `after` of the
-- next call, nil where none is left.
local function some_links_of(owner, after, most)
  local ids, first, found = links_of(owner), 1, {}
  for at, id in ipairs(ids) do
    if id == after then first = at + 1 end
  end
  for at = first, math.min(first + most - 1, #ids) do found[#found + 1] = ids[at] end
  return found, first + most <= #ids and found[#found] or nil
end

-- Has a long list no room for so many more? Then its oldest links are looked at: dead ones that the feed needs no more are
-- forgotten, and live ones go to its end, so that the next call looks at others. The records themselves stay, for the pages
-- that say why.
local function is_still_full(owner, more)
  local _, kept = links_of(owner)
  if #kept + more <= LINKS_MAX then return false end
  local left, live = {}, {}
  for at, item in ipairs(kept) do
    local link = at <= LOOKED_AT and read_link(string.match(item, '^[^.]+'))
    local dead = at <= LOOKED_AT and why_dead(link)
    if dead == 'used_up' or dead == 'expired' and tonumber(link.expires) + FEED_MS > now then dead = false end
    if at > LOOKED_AT then left[#left + 1] = item elseif not dead then live[#live + 1] = item end
  end
  for _, item in ipairs(live) do left[#left + 1] = item end
  write_list(owner, table.concat(left, ','))
  return #left + more > LINKS_MAX
end

local function is_full(owner, more)
  return #list_of(owner) + more * ITEM_BYTES > LINKS_MAX * ITEM_BYTES and is_still_full(owner, more)
end

local function remembered_as(id, deadline_ms)
  return id .. '.' .. int(math.ceil(deadline_ms / 1000))
end

-- Lists are long, so one is only gone through when its oldest link is over, or when it may be full.
local function remember_links(owner, added)
  local list = list_of(owner)
  local oldest = string.match(list, '^[^.]+%.(%d+)')
  if oldest and (oldest * 1000 <= now or #list > LINKS_MAX * ITEM_BYTES) then
    local _, kept = remembered(list)
    list = table.concat(kept, ',')
  end
  if list ~= '' and #added > 0 then list = list .. ',' end
  write_list(owner, list .. table.concat(added, ','))
end

local function is_over(list)
  for deadline in string.gmatch(list, '%.(%d+)') do
    if deadline * 1000 > now then return false end
  end
  return true
end

-- Every insertion looks at two owners of the bucket and drops them if all of theirs is over. Their lists come along in
-- one command: with a command for each, an unknown mailbox, whose every link is in another bucket, would cost more or
-- fewer of them than a known one.
local function forget_old_owners(owner)
  local bucket = bucket_of(owner)
  local found = call('HRANDFIELD', bucket, '2', 'WITHVALUES')
  for at = 1, #found, 2 do
    if found[at] ~= owner and is_over(found[at + 1]) then call('HDEL', bucket, found[at]) end
  end
end

-- Keep a new link for `keep_ms` past its end, so that its page can say what happened. One for `nobody` is counted as none,
-- with the same commands.
local function save_link(link, keep_ms, nobody)
  local deadline = tonumber(link.expires) + keep_ms
  link.uses, link.misses, link.epoch = '0', '0', get(KEYS[1] .. 'epoch') or '0'
  link.resends, link.resent_at, link.ended = '0', '0', ''
  write(LINK, key('link', link.id), link, deadline)
  count_storage(nobody and 0 or BYTES.link, deadline)
  -- A link to a mailbox gets an owner of its own that nobody asks for: for an unknown mailbox it is the same work.
  local owner = 'p:' .. (link.patient ~= '' and link.patient or ':' .. link.id)
  remember_links(owner, {remembered_as(link.id, deadline)})
  forget_old_owners(owner)
  if link.resource ~= '' then
    remember_links('r:' .. link.resource, {remembered_as(link.id, deadline)})
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
