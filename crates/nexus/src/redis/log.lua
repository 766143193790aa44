-- A stretch of a log, or of one thread of it. Writes nothing.
--
-- KEYS: 1 log lengths, 2 log bases, 3 the threads of the log. ARGV: 1 the log, 2 key of its segments without their number,
-- 3 the lowest position, 4 how many, 5 after how many bytes to end, 6 the thread or ''.
-- Answers positions and entries, one after the other.

local call, byte, floor, min, max = redis.call, string.byte, math.floor, math.min, math.max
local log, segments, n, bytes_left, thread = ARGV[1], ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local SEGMENT = 128 -- as in commit.lua
local PIECE = 16    -- entries read at once: they may be large

local found = call('HMGET', KEYS[2], log, log .. '\0')
local base = tonumber(found[1] or 0)
local first = tonumber(found[2] or base) -- that still takes room
local length = tonumber(call('HGET', KEYS[1], log) or 0)
local from = max(base, tonumber(ARGV[3]))
local page = {}

-- Where an entry stands in the list of its segment, of which the beginning may be gone.
local function index_of(position)
  return position - max(first, floor(position / SEGMENT) * SEGMENT)
end

-- Takes an entry; false once the page is full.
local function add(position, entry)
  page[#page + 1] = position
  page[#page + 1] = entry
  bytes_left = bytes_left - (#entry - 2 - byte(entry, 1) * 256 - byte(entry, 2))
  return bytes_left >= 0 and #page < 2 * n
end

local function read_log()
  local position = from
  while position < length do
    local behind = min(length, (floor(position / SEGMENT) + 1) * SEGMENT, position + PIECE)
    local key, index = segments .. floor(position / SEGMENT), index_of(position)
    local piece = call('LRANGE', key, index, index + behind - position - 1)
    assert(#piece == behind - position, 'a log has fewer entries than its length says')
    for _, entry in ipairs(piece) do
      if not add(position, entry) then return end
      position = position + 1
    end
  end
end

local function read_thread()
  local positions = call('HGET', KEYS[3], thread) or ''
  local low, high = 0, #positions / 8 -- of the first position that is not below `from`
  while low < high do
    local middle = floor((low + high) / 2)
    if struct.unpack('>I8', positions, 8 * middle + 1) < from then low = middle + 1 else high = middle end
  end
  for i = low, #positions / 8 - 1 do
    local position = struct.unpack('>I8', positions, 8 * i + 1)
    if not add(position, call('LINDEX', segments .. floor(position / SEGMENT), index_of(position))) then return end
  end
end

if n > 0 and thread == '' then read_log() end
if n > 0 and thread ~= '' then read_thread() end
return page
