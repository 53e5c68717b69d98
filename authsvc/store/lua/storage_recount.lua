-- Put what was weighed in the place of what was counted.
--
-- uses: storage
-- args: before weighed*2
--
-- `before` is what was counted when the weighing began: what has changed since then is counted besides.
-- `weighed` are weeks and bytes.
-- Replies {used}

local changed = read_storage()
for week, bytes in string.gmatch(before, '(%S+) (%d+)') do changed[week] = (changed[week] or 0) - tonumber(bytes) end
for _, row in ipairs(weighed) do changed[row[1]] = (changed[row[1]] or 0) + tonumber(row[2]) end
write_storage()
return reply({used = int(used_storage())})
