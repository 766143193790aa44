-- As little as a script can do for its writes: no guards, no versions, nothing is decided and nothing is read.
-- ARGV: for each command its name, how many arguments it has, and these.
local at = 1
while at < #ARGV do
    local n = tonumber(ARGV[at + 1])
    redis.call(ARGV[at], unpack(ARGV, at + 2, at + 1 + n))
    at = at + 2 + n
end
return 1
