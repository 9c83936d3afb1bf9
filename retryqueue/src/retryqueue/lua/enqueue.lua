-- (nothing) -> scheduled
--
-- ARGV: nonce of 7 bytes, attempts, times, then for each payment: key, end of its record.
-- The times are a delay and a deadline (in ms from now; 0: none) for each payment, with blanks between; nothing if all are 0.
-- The end of a record is packed by the caller: fingerprint, payload and an empty note. Most payments are new and due at once, so
-- that all their records begin alike: to put the two together costs half of what it takes to make each record here.
-- Answers for each: 0 if it was stored just now; else new, duplicate or conflict; the state; the attempt; and the note.

-- Whether the key's life is over, though nobody has swept it away yet.
local function is_over(s, key, r, now)
  local over = r and r.state == 'succeeded' and redis.call('ZSCORE', s.paid, key)
  return over and tonumber(over) <= now
end

local function answer_to_known(r, fingerprint, nonce)
  if not r then return {'duplicate', 'quarantined', 0, ''} end
  local answer = r.fingerprint ~= fingerprint and 'conflict' or r.nonce == nonce and 'new' or 'duplicate'
  return {answer, r.state, r.attempt, r.note}
end

-- A new record as far as the nonce: a msgpack list of 14 that begins with these 10, and the head of a text of 8 bytes.
local function beginning(attempts, now, deadline)
  return '\158' .. cmsgpack.pack({VERSION, 'scheduled', 0, attempts, 0, 1, 0, 0, now, deadline}):sub(2) .. '\168'
end

-- Answers from when on each payment is due, as a score, and the beginning of its record: by its number in the call.
local function timing(now, attempts, times)
  local due, known = now, {}
  local score, begins = string.format('%.0f', now), beginning(attempts, now, 0)
  if times == '' then return function() return due, score, begins end end
  local given = {}
  for time in times:gmatch('%d+') do given[#given + 1] = tonumber(time) end
  return function(i)
    local delay, within = given[2 * i - 1], given[2 * i]
    known[within] = known[within] or beginning(attempts, now, within > 0 and now + within or 0)
    return now + delay, string.format('%.0f', now + delay), known[within]
  end
end

local function store(s, records, scores, over)
  if #records == 0 then return end
  s.earliest_before = head(s.due) or math.huge
  redis.call('HSET', s.items, unpack(records))
  if #over > 0 then redis.call('ZREM', s.paid, unpack(over)) end
  redis.call('ZADD', s.due, unpack(scores))
  announce(s)
end

local function enqueue(keys, args)
  local s, now, names = shard(keys), now_ms(), {}
  for i = 4, #args, 2 do names[#names + 1] = args[i] end
  if #names == 0 then return {} end
  local nonce, time = args[1], timing(now, tonumber(args[2]), args[3])
  local some_set_aside = redis.call('HLEN', s.quarantine) > 0
  local answers, records, scores, over, stored = {}, {}, {}, {}, {}

  for i, raw in ipairs(redis.call('HMGET', s.items, unpack(names))) do
    local key, ending, r = names[i], args[3 + 2 * i], raw and read(raw)
    local own = nonce .. string.char(i)
    local first = stored[key]
    if is_over(s, key, r, now) then
      r, raw = nil, false
      if not first then over[#over + 1] = key end
    end

    if first then
      r = {state = 'scheduled', attempt = 0, note = '', fingerprint = args[3 + 2 * first]:sub(2, 17), nonce = nonce .. string.char(first)}
      answers[i] = answer_to_known(r, ending:sub(2, 17), own)
    elseif raw or some_set_aside and redis.call('HEXISTS', s.quarantine, key) == 1 then
      answers[i] = answer_to_known(r, ending:sub(2, 17), own)
    else
      local due, score, begins = time(i)
      local n = #records
      records[n + 1], records[n + 2] = key, begins .. own .. ending
      scores[n + 1], scores[n + 2] = score, key
      s.earliest = math.min(s.earliest or math.huge, due)
      stored[key], answers[i] = i, 0
    end
  end
  store(s, records, scores, over)
  return answers
end
