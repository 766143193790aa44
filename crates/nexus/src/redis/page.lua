-- A page of a set in the order (score, member) or its reverse. Writes nothing.
--
-- Redis finds places by score or by rank only. A place is a score and a member, and many members may share a score, so the
-- rank of a place is searched for among those.
--
-- KEYS: 1 the set. ARGV: 1 '+' or '-', 2 how many, 3 the score at which the page ends or '', and if it begins at a place:
-- 4 its score, 5 its member.

local call, byte, min, max = redis.call, string.byte, math.min, math.max
local set, forwards, n, bound = KEYS[1], ARGV[1] == '+', tonumber(ARGV[2]), ARGV[3]

-- Text order by bytes: the order of texts in Lua may be that of a language.
local function is_less(a, b)
  for i = 1, min(#a, #b) do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- How many stand before the place: first by score, then by halves among those of the same score.
local function rank(score, member)
  local low = call('ZCOUNT', set, '-inf', '(' .. score)
  local high = low + call('ZCOUNT', set, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_less(call('ZRANGE', set, middle, middle)[1], member) then low = middle + 1 else high = middle end
  end
  return low
end

local from, to = 0, call('ZCARD', set) -- of the ranks: `to` is behind the last
if forwards then
  if bound ~= '' then to = call('ZCOUNT', set, '-inf', bound) end
  if ARGV[4] then
    from = rank(ARGV[4], ARGV[5])
    local at = call('ZRANGE', set, from, from, 'WITHSCORES')
    if at[1] == ARGV[5] and tonumber(at[2]) == tonumber(ARGV[4]) then from = from + 1 end
  end
  to = min(to, from + n)
else
  if bound ~= '' then from = call('ZCOUNT', set, '-inf', '(' .. bound) end
  if ARGV[4] then to = rank(ARGV[4], ARGV[5]) end
  from = max(from, to - n)
end
if from >= to then return {} end
return call('ZRANGE', set, from, to - 1, 'WITHSCORES')
