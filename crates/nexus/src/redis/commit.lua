-- Applies transactions, each on its own and in order, and says how each ended. It knows records, sets, logs and counters; it
-- knows nothing of what they mean.
--
-- Three phases: read all that any transaction of the batch looks at; decide them one after the other on what was read,
-- noting the changes; write what has changed, with as few commands as possible. Nothing is written before everything is
-- decided, so no error can leave a half. The first line of the script (whether it may run when memory is full) is put in front by
-- the program, which also gives every key, member, thread and payload a number, so that nothing is looked up by name here.
--
-- KEYS: 1 log lengths, 2 log bases, 3 counters, then the records, then the sets, then the indexes of the families.
-- ARGV: 1 the batch (MessagePack, see batch.rs), 2 whether growth must wait, 3 the channel for hints, then the payloads.
-- Answers 0 if everything was applied and nothing is left to do, else the outcomes, and the logs left to sweep.

local call, byte, sub, floor, min, pack = redis.call, string.byte, string.sub, math.floor, math.min, struct.pack
local LENGTHS, BASES, COUNTERS, BEFORE_RECORDS, BEFORE_PAYLOADS = KEYS[1], KEYS[2], KEYS[3], 3, 3
local STEP = 1000      -- arguments given to one command at most (Lua unpacks no more than some thousands)
local SEGMENT = 128    -- entries of a log in one list
local SWEEP_MAX = 1024 -- entries of trimmed logs removed by one run
local COUNT_MAX = 9007199254740991

local APPLIED, ALREADY, FULL = 1, 2, 3
local RECORD, MEMBER, ROOM = 1, 2, 3
local MOVE, APPEND, ADD, TRIM, DROP_RECORD = 1, 2, 3, 4, 5

-- Guards, puts and changes of all transactions follow each other; each transaction says how many are its own.
local n_records, n_looked, sets, n_families, logs, counters, transactions, guards, puts, changes =
  unpack(cmsgpack.unpack(ARGV[1]))
local growth_waits = ARGV[2] == '1'
local TAG = sub(LENGTHS, 1, -2) -- what every key begins with
local before_sets = BEFORE_RECORDS + n_records
local before_families = before_sets + #sets

-- Calls a command with a key and any number of arguments that come in groups; the sum of the answers.
local function call_in_steps(command, key, arguments)
  if #arguments <= STEP then return call(command, key, unpack(arguments)) end
  local sum = 0
  for from = 1, #arguments, STEP do
    sum = sum + call(command, key, unpack(arguments, from, min(from + STEP - 1, #arguments)))
  end
  return sum
end

-- What is there --------------------------------------------------------------------------------------------------------

local records = {} -- the value, or false
for from = 1, n_looked, STEP do
  local to = min(from + STEP - 1, n_looked)
  local found = call('MGET', unpack(KEYS, BEFORE_RECORDS + from, BEFORE_RECORDS + to))
  for i = 1, #found do records[from + i - 1] = found[i] end
end

-- A set: 1 name, 2 family, 3 whether its size matters, 4 how many of its members have a score that matters, 5 members.
local scores, sizes = {}, {} -- scores[set][member]: a number, false where absent, nil where it does not matter
for s = 1, #sets do
  local set = sets[s]
  if set[4] > 0 then
    local key, known = KEYS[before_sets + s], {}
    for from = 1, set[4], STEP do
      local found = call('ZMSCORE', key, unpack(set[5], from, min(from + STEP - 1, set[4])))
      for i = 1, #found do known[from + i - 1] = found[i] and tonumber(found[i]) end
    end
    scores[s] = known
  end
  if set[3] then sizes[s] = call('ZCARD', KEYS[before_sets + s]) end
end

-- A log: 1 name, 2 threads.
local lengths, bases, floors = {}, {}, {}
if #logs > 0 then
  local names = {}
  for l = 1, #logs do names[l] = logs[l][1] end
  local found = call('HMGET', LENGTHS, unpack(names))
  for l = 1, #logs do lengths[l] = found[l] and tonumber(found[l]) or 0 end
end

-- The first position that is left of a log, and the first that still takes room.
local function load_base(l)
  if bases[l] then return end
  local name = logs[l][1]
  local found = call('HMGET', BASES, name, name .. '\0')
  bases[l] = tonumber(found[1] or 0)
  floors[l] = tonumber(found[2] or bases[l])
end

local counts = {}
if #counters > 0 then
  local found = call('HMGET', COUNTERS, unpack(counters))
  for c = 1, #counters do counts[c] = tonumber(found[c] or 0) end
end

-- Decisions ------------------------------------------------------------------------------------------------------------

local written = {}                             -- records: number of the payload, 0 for dropped
local recognized = {}                          -- records by which a repetition was recognized
local entering, leaving = {}, {}               -- entering[set][member] = score, leaving[set][member] = true
local changed_counts = {}
local appended, positions = {}, {}             -- positions[log][thread]: new ones, packed
local trimmed, dropped, hints = {}, {}, {}

local function size_after(s, from, to)
  local size, known = sizes[s], scores[s] or {}
  for i = from, to, 4 do
    if changes[i] == MOVE and changes[i + 1] == s then
      local stands, enters = known[changes[i + 2]], changes[i + 3] ~= ''
      if enters and not stands then size = size + 1 end
      if stands and not enters then size = size - 1 end
    end
  end
  return size
end

-- The first of these guards that does not hold, with what it found. `from` and `to` are its changes.
local function refusal(guard, n, from, to)
  for i = 0, n - 1 do
    local g = guard + 4 * i
    local kind, what, expected = guards[g], guards[g + 1], guards[g + 3]
    if kind == RECORD then
      local value = records[what]
      if (value and sub(value, 1, 8) or '') ~= expected then return { i, value } end
    elseif kind == MEMBER then
      local score = scores[what][guards[g + 2]]
      if (score or -1) ~= expected then return { i, score } end
    elseif kind == ROOM then
      local after = size_after(what, from, to)
      if after > expected then return { i, after } end
    elseif lengths[what] ~= expected then
      return { i, lengths[what] }
    end
  end
end

-- A member enters a set, moves within it or leaves it; what guards may ask later is kept up to date.
local function move(s, m, score)
  local enters, known = score ~= '', scores[s]
  if known and known[m] ~= nil then
    local stands = known[m]
    if sizes[s] and enters and not stands then sizes[s] = sizes[s] + 1 end
    if sizes[s] and stands and not enters then sizes[s] = sizes[s] - 1 end
    known[m] = enters and tonumber(score)
  end
  if not entering[s] then entering[s], leaving[s] = {}, {} end
  entering[s][m] = enters and score or nil
  leaving[s][m] = not enters or nil
end

local function append(l, payload, thread)
  local entries, length = appended[l], lengths[l]
  if not entries then
    entries = {}
    appended[l], positions[l] = entries, {}
  end
  entries[#entries + 1] = ARGV[BEFORE_PAYLOADS + payload]
  if thread > 0 then
    local known, added = positions[l][thread], pack('>I8', length)
    positions[l][thread] = known and known .. added or added
  end
  lengths[l] = length + 1
end

-- A log begins again; what must be removed is what Redis has of it.
local function drop_log(l)
  if not dropped[l] then
    load_base(l)
    dropped[l] = { floors[l], lengths[l] - #(appended[l] or {}) }
  end
  lengths[l], bases[l], floors[l] = 0, 0, 0
  appended[l], positions[l] = {}, {}
end

local function apply(kind, what, a, b)
  if kind == MOVE then
    move(what, a, b)
  elseif kind == APPEND then
    append(what, a, b)
  elseif kind == ADD then
    counts[what] = math.max(-COUNT_MAX, min(COUNT_MAX, counts[what] + a))
    changed_counts[what] = true
  elseif kind == TRIM then
    load_base(what)
    bases[what] = math.max(bases[what], min(a, lengths[what]))
    trimmed[what] = true
  elseif kind == DROP_RECORD then
    records[what], written[what] = false, 0
  else
    drop_log(what)
  end
end

-- A transaction: 1 id, 2 whether it is growth, 3 number of guards, 4 of puts, 5 of changes, 6 hints.
local outcomes, all_applied = {}, true
local guard, put, change = 1, 1, 1
for t = 1, #transactions, 6 do
  local id, after_puts = transactions[t], put + 2 * transactions[t + 3]
  local n_guards, after_changes = transactions[t + 2], change + 4 * transactions[t + 4]
  local outcome = APPLIED
  for p = put, after_puts - 1, 2 do
    local value = records[puts[p]]
    if value and sub(value, 1, 8) == id then
      outcome = ALREADY
      recognized[puts[p]] = true
    end
  end
  if outcome == APPLIED then
    outcome = refusal(guard, n_guards, change, after_changes - 1) or transactions[t + 1] and growth_waits and FULL or APPLIED
  end
  if outcome == APPLIED then
    for c = change, after_changes - 1, 4 do apply(changes[c], changes[c + 1], changes[c + 2], changes[c + 3]) end
    for p = put, after_puts - 1, 2 do
      local r, payload = puts[p], puts[p + 1]
      records[r], written[r] = ARGV[BEFORE_PAYLOADS + payload], payload
    end
    if transactions[t + 5] ~= '' then hints[#hints + 1] = transactions[t + 5] end
  else
    all_applied = false
  end
  outcomes[#outcomes + 1] = outcome
  guard, put, change = guard + 4 * n_guards, after_puts, after_changes
end

-- Changes --------------------------------------------------------------------------------------------------------------

local stored, removed = {}, {}
for r = 1, n_records do
  local payload = written[r]
  if payload == 0 then
    removed[#removed + 1] = KEYS[BEFORE_RECORDS + r]
  elseif payload then
    local n = #stored
    stored[n + 1], stored[n + 2] = KEYS[BEFORE_RECORDS + r], ARGV[BEFORE_PAYLOADS + payload]
  end
end
for from = 1, #removed, STEP do call('UNLINK', unpack(removed, from, min(from + STEP - 1, #removed))) end
for from = 1, #stored, STEP do call('MSET', unpack(stored, from, min(from + STEP - 1, #stored))) end

-- A repetition changes nothing, but writes: a WAIT may concern only what its own connection wrote (Redis 7.2), and the one
-- on which it was written first may be gone. What is already there is written over itself.
for r in pairs(recognized) do
  if not written[r] then call('SETRANGE', KEYS[BEFORE_RECORDS + r], 0, sub(records[r], 1, 8)) end
end

-- The first score of a set is in the index of its family. If members have only come in, the lowest score wins there;
-- otherwise the set is asked.
local lower, heads, headless = {}, {}, {}
local function note(lists, family, score, name)
  local list = lists[family]
  if not list then
    list = {}
    lists[family] = list
  end
  if score then list[#list + 1] = score end
  list[#list + 1] = name
end

local function ask_head(s, set)
  local head = call('ZRANGE', KEYS[before_sets + s], '0', '0', 'WITHSCORES')
  if head[1] then note(heads, set[2], head[2], set[1]) else note(headless, set[2], nil, set[1]) end
end

for s = 1, #sets do
  if entering[s] then
    local set, places, gone = sets[s], {}, {}
    local key, members, family = KEYS[before_sets + s], set[5], set[2]
    for m, score in pairs(entering[s]) do
      local n = #places
      places[n + 1], places[n + 2] = score, members[m]
    end
    for m in pairs(leaving[s]) do gone[#gone + 1] = members[m] end
    local n_new = #places > 0 and call_in_steps('ZADD', key, places) or 0
    if #gone > 0 then call_in_steps('ZREM', key, gone) end
    if family > 0 then
      if #gone == 0 and 2 * n_new == #places then
        for n = 1, #places, 2 do note(lower, family, places[n], set[1]) end
      else
        ask_head(s, set)
      end
    end
  end
end
for f = 1, n_families do
  local key, list = KEYS[before_families + f], lower[f] or {}
  for from = 1, #list, STEP do call('ZADD', key, 'LT', unpack(list, from, min(from + STEP - 1, #list))) end
  if heads[f] then call_in_steps('ZADD', key, heads[f]) end
  if headless[f] then call_in_steps('ZREM', key, headless[f]) end
end

for c in pairs(changed_counts) do
  if counts[c] == 0 then call('HDEL', COUNTERS, counters[c]) else call('HSET', COUNTERS, counters[c], counts[c]) end
end

local function segment_key(l, segment)
  return TAG .. 'l:' .. logs[l][1] .. ':' .. (segment == 0 and '0' or segment)
end

local function threads_key(l)
  return TAG .. 't:' .. logs[l][1]
end

-- What began again is removed before anything is appended to it, and what was trimmed is removed after that.
local remove_log, sweep
if next(dropped) then
  remove_log = function(l, first, length)
    local name, keys = logs[l][1], { threads_key(l) }
    for segment = floor(first / SEGMENT), floor((length - 1) / SEGMENT) do keys[#keys + 1] = segment_key(l, segment) end
    for from = 1, #keys, STEP do call('UNLINK', unpack(keys, from, min(from + STEP - 1, #keys))) end
    call('HDEL', LENGTHS, name)
    call('HDEL', BASES, name, name .. '\0')
  end
end
if next(trimmed) then
  -- Forgets the positions below the base of the log, for threads of which an entry was just removed.
  local function trim_threads(l, names)
    local key, lowest = threads_key(l), pack('>I8', bases[l])
    for _, thread in ipairs(names) do
      local known, from = call('HGET', key, thread), 1
      -- Byte by byte: the order of texts in Lua may be that of a language.
      local function is_below(at)
        for i = 0, 7 do
          local found, bound = byte(known, at + i), byte(lowest, i + 1)
          if found ~= bound then return found < bound end
        end
        return false
      end
      while known and from <= #known and is_below(from) do from = from + 8 end
      if known and from > #known then
        call('HDEL', key, thread)
      elseif known and from > 1 then
        call('HSET', key, thread, sub(known, from))
      end
    end
  end

  -- Removes what a trim has put out of reach, as much as one run may; true if something is left.
  local budget = SWEEP_MAX
  sweep = function(l)
    if bases[l] == 0 then return end
    local name, known, names = logs[l][1], {}, {}
    local has_threads = call('EXISTS', threads_key(l)) == 1
    while floors[l] < bases[l] and budget > 0 do
      local position, segment = floors[l], floor(floors[l] / SEGMENT)
      local n = min((segment + 1) * SEGMENT, bases[l], position + budget) - position
      local key = segment_key(l, segment)
      for _, entry in ipairs(has_threads and call('LRANGE', key, 0, n - 1) or {}) do
        local length = byte(entry, 1) * 256 + byte(entry, 2)
        local thread = sub(entry, 3, 2 + length)
        if length > 0 and not known[thread] then
          known[thread] = true
          names[#names + 1] = thread
        end
      end
      call('LTRIM', key, n, -1)
      floors[l], budget = position + n, budget - n
    end
    trim_threads(l, names)
    call('HSET', BASES, name, bases[l])
    if floors[l] < bases[l] then
      call('HSET', BASES, name .. '\0', floors[l])
      return true
    end
    call('HDEL', BASES, name .. '\0')
  end
end

local function store_entries(l, entries)
  local position, from = lengths[l] - #entries, 1
  while from <= #entries do
    local n = min(SEGMENT - position % SEGMENT, #entries - from + 1)
    call('RPUSH', segment_key(l, floor(position / SEGMENT)), unpack(entries, from, from + n - 1))
    from, position = from + n, position + n
  end
end

local function store_positions(l, new)
  local key, names = threads_key(l), logs[l][2]
  for from = 1, #names, STEP do
    local to, longer = min(from + STEP - 1, #names), {}
    local found = call('HMGET', key, unpack(names, from, to))
    for t = from, to do
      local n, added, known = #longer, new[t], found[t - from + 1]
      if added then longer[n + 1], longer[n + 2] = names[t], known and known .. added or added end
    end
    if #longer > 0 then call('HSET', key, unpack(longer)) end
  end
end

local unswept, grown = {}, {}
for l = 1, #logs do
  if dropped[l] and dropped[l][2] > 0 then remove_log(l, dropped[l][1], dropped[l][2]) end
  if appended[l] and #appended[l] > 0 then
    store_entries(l, appended[l])
    if next(positions[l]) then store_positions(l, positions[l]) end
    local n, length = #grown, lengths[l]
    grown[n + 1], grown[n + 2] = logs[l][1], length == 1 and '1' or length
  end
  if trimmed[l] and lengths[l] > 0 and sweep(l) then unswept[#unswept + 1] = l end
end
if #grown > 0 then call_in_steps('HSET', LENGTHS, grown) end

if #hints > 0 then call('PUBLISH', ARGV[3], table.concat(hints, '\0')) end
if all_applied and #unswept == 0 then return 0 end
return { outcomes, unswept }
