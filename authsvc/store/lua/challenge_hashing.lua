-- What hashing one more code for a challenge needs. Changes nothing.
--
-- uses: challenges
-- args: challenge
-- Replies {salt, profile, pepper, channel} or {}

local known = read_challenge()
if not known then return reply({}) end
return reply({salt = known.salt, profile = known.profile, pepper = known.pepper, channel = known.channel})
