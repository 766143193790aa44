-- The first command that we need and our user may not give, and the first that we only wish for; '' where none is missing.
-- Writes nothing.
--
-- A right that is missing must be seen before a script begins: one that ends in its middle has written a half. Without those that
-- no script uses, commits would not wait for their replicas, and nobody would see why. Hints alone may be lost as ever.
--
-- ARGV: 1 what every key and channel begins with.

local key = ARGV[1] .. 'rights}'
local needed = {
  { 'mget', key }, { 'mset', key, '' }, { 'setrange', key, 0, '' }, { 'unlink', key }, { 'exists', key },
  { 'zadd', key, 1, '' }, { 'zrem', key, '' }, { 'zrange', key, 0, 0 }, { 'zmscore', key, '' }, { 'zcard', key },
  { 'zcount', key, 0, 0 },
  { 'hget', key, '' }, { 'hmget', key, '' }, { 'hset', key, '', '' }, { 'hdel', key, '' },
  { 'rpush', key, '' }, { 'lrange', key, 0, 0 }, { 'lindex', key, 0 }, { 'ltrim', key, 0, 0 },
  { 'publish', key, '' },
  { 'ping' }, { 'time' }, { 'wait', 0, 0 },
}
local wished_for = { { 'subscribe', key }, { 'unsubscribe', key } }

local function first_missing(commands)
  for _, command in ipairs(commands) do
    if not redis.acl_check_cmd(unpack(command)) then return command[1] end
  end
  return ''
end
return { first_missing(needed), first_missing(wished_for) }
