-- The first command that we need and our user may not give, or ''. Writes nothing.
--
-- A right that is missing must be seen before a script begins: one that ends in its middle has written a half. And without
-- those that no script uses, work would go on, but slower to wake, or without its replicas, and nobody would see why.
--
-- ARGV: 1 what every key and channel begins with.

local key = ARGV[1] .. 'rights}'
local commands = {
  { 'mget', key }, { 'mset', key, '' }, { 'setrange', key, 0, '' }, { 'unlink', key }, { 'exists', key },
  { 'zadd', key, 1, '' }, { 'zrem', key, '' }, { 'zrange', key, 0, 0 }, { 'zmscore', key, '' }, { 'zcard', key },
  { 'zcount', key, 0, 0 },
  { 'hget', key, '' }, { 'hmget', key, '' }, { 'hset', key, '', '' }, { 'hdel', key, '' },
  { 'rpush', key, '' }, { 'lrange', key, 0, 0 }, { 'lindex', key, 0 }, { 'ltrim', key, 0, 0 },
  { 'publish', key, '' },
  { 'subscribe', key }, { 'unsubscribe', key }, { 'ping' }, { 'time' }, { 'wait', 0, 0 },
}
for _, command in ipairs(commands) do
  if not redis.acl_check_cmd(unpack(command)) then return command[1] end
end
return ''
