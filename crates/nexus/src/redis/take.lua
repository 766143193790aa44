-- Pops the first members of sets and holds them. It knows sets and records; it knows nothing of what they mean.
--
-- A merge of the sets of each demand by (score, member, set). A set of a family enters it with the score that the index of
-- heads has, and is read only when that score comes up: of a hundred lanes of which one is served, one is read. What was
-- popped is moved at the end, with one command for each set; before that only when a later demand takes from a hold.
--
-- KEYS: the sets (sources and holds), then the indexes of the families. ARGV: the demands (MessagePack, see take.rs).

local call, byte, min = redis.call, string.byte, math.min
local STEP = 1000 -- arguments given to one command at most
local PAGE = 32   -- members read ahead from one set

-- A set: 1 name, 2 family. A demand: 1 sets, 2 how many, 3 up to, 4 hold, 5 until, 6 key prefixes.
local sets, n_families, flush_each, demands = unpack(cmsgpack.unpack(ARGV[1]))

local pages, consumed = {}, {}  -- per set: members read and not popped yet (with a cursor); members popped and still there
local leaving, entering = {}, {} -- per set: what is to be moved

-- Text order by bytes: the order of texts in Lua may be that of a language.
local function is_less(a, b)
  for i = 1, min(#a, #b) do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- A candidate: 1 score, 2 member (nil while the set was not read), 3 set. Of equal scores an unread set comes first.
local function is_before(a, b)
  if a[1] ~= b[1] then return a[1] < b[1] end
  if not a[2] or not b[2] then return not a[2] and b[2] ~= nil end
  if a[2] ~= b[2] then return is_less(a[2], b[2]) end
  return is_less(sets[a[3]][1], sets[b[3]][1])
end

local function push(heap, candidate)
  local i = #heap + 1
  while i > 1 do
    local parent = (i - i % 2) / 2
    if not is_before(candidate, heap[parent]) then break end
    heap[i] = heap[parent]
    i = parent
  end
  heap[i] = candidate
end

local function pop(heap)
  local top, last = heap[1], table.remove(heap)
  local n, i = #heap, 1
  if n == 0 then return top end
  while true do
    local child = 2 * i
    if child > n then break end
    if child < n and is_before(heap[child + 1], heap[child]) then child = child + 1 end
    if not is_before(heap[child], last) then break end
    heap[i] = heap[child]
    i = child
  end
  heap[i] = last
  return top
end

-- The next member of a set as a candidate, if it has one.
local function next_of(s, wanted)
  local page = pages[s]
  if not page or page.at > #page then
    local from = consumed[s] or 0
    page = call('ZRANGE', KEYS[s], from, from + min(PAGE, wanted) - 1, 'WITHSCORES')
    page.at = 1
    pages[s] = page
  end
  if page[page.at] then return { tonumber(page[page.at + 1]), page[page.at], s } end
end

-- The candidates that a demand begins with: heads from the indexes where there are some.
local function first_candidates(demand)
  local heap, of_family = {}, {}
  for _, s in ipairs(demand[1]) do
    local family = sets[s][2]
    if family == 0 or pages[s] then
      local candidate = next_of(s, demand[2])
      if candidate then push(heap, candidate) end
    else
      if not of_family[family] then of_family[family] = {} end
      table.insert(of_family[family], s)
    end
  end
  for family, members in pairs(of_family) do
    for from = 1, #members, STEP do
      local names = {}
      for i = from, min(from + STEP - 1, #members) do names[#names + 1] = sets[members[i]][1] end
      local found = call('ZMSCORE', KEYS[#sets + family], unpack(names))
      for i = 1, #found do
        if found[i] then push(heap, { tonumber(found[i]), nil, members[from + i - 1] }) end
      end
    end
  end
  return heap
end

local function note(lists, s, value)
  local list = lists[s]
  if not list then
    list = {}
    lists[s] = list
  end
  list[#list + 1] = value
end

-- Moves what was popped, and brings the indexes of heads up to date.
local function flush()
  local heads, headless, touched = {}, {}, {}
  for s, members in pairs(leaving) do
    touched[s] = true
    for from = 1, #members, STEP do call('ZREM', KEYS[s], unpack(members, from, min(from + STEP - 1, #members))) end
  end
  for s, places in pairs(entering) do
    touched[s] = true
    for from = 1, #places, STEP do call('ZADD', KEYS[s], unpack(places, from, min(from + STEP - 1, #places))) end
  end
  for s in pairs(touched) do
    local family = sets[s][2]
    if family > 0 then
      local head = call('ZRANGE', KEYS[s], '0', '0', 'WITHSCORES')
      if head[1] then
        note(heads, family, head[2])
        note(heads, family, sets[s][1])
      else
        note(headless, family, sets[s][1])
      end
    end
  end
  for family, places in pairs(heads) do
    for from = 1, #places, STEP do
      call('ZADD', KEYS[#sets + family], unpack(places, from, min(from + STEP - 1, #places)))
    end
  end
  for family, names in pairs(headless) do
    for from = 1, #names, STEP do
      call('ZREM', KEYS[#sets + family], unpack(names, from, min(from + STEP - 1, #names)))
    end
  end
  pages, consumed, leaving, entering = {}, {}, {}, {}
end

local record_keys = {}
local function serve(demand)
  local served, wanted = {}, demand[2]
  if wanted == 0 then return served end
  local up_to, hold, until_score, prefixes = demand[3], demand[4], demand[5], demand[6]
  local heap, n = first_candidates(demand), 0
  local candidate = #heap > 0 and pop(heap) or nil
  while candidate and n < wanted and candidate[1] <= up_to do
    local member, s = candidate[2], candidate[3]
    if member then
      local page = pages[s]
      served[3 * n + 1], served[3 * n + 2], served[3 * n + 3] = sets[s][1], member, page[page.at + 1]
      n, page.at, consumed[s] = n + 1, page.at + 2, (consumed[s] or 0) + 1
      note(leaving, s, member)
      note(entering, hold, until_score)
      note(entering, hold, member)
      for p = 1, #prefixes do record_keys[#record_keys + 1] = prefixes[p] .. member end
    end
    -- Mostly the next of the same set is the next of all.
    local following = n < wanted and next_of(s, wanted - n) or nil
    if following and (not heap[1] or is_before(following, heap[1])) then
      candidate = following
    else
      if following then push(heap, following) end
      candidate = #heap > 0 and pop(heap) or nil
    end
  end
  return served
end

local answers = {}
for d, demand in ipairs(demands) do
  answers[d] = serve(demand)
  if flush_each then flush() end
end
flush()

local records = {}
for from = 1, #record_keys, STEP do
  local found = call('MGET', unpack(record_keys, from, min(from + STEP - 1, #record_keys)))
  for i = 1, #found do records[from + i - 1] = found[i] end
end
return { answers, records }
