-- What every transition shares: the keys of a shard, the server's clock, and the record of a payment.
--
-- A payment is one field of the hash `items`: a msgpack list, so that a queued payment costs one hash entry and one
-- sorted-set entry. Exactly one of the sorted sets below holds its key:
--
--   due        scheduled   by when it is due           paid       succeeded   by when its key may be forgotten
--   leased     leased      by when the lease ends      dead       dead        by when it died
--                                                      reconcile  reconcile   by when it was set aside
--
-- What cannot be read is not a payment: its bytes lie in the hash `quarantine`.
--
-- A script first decides everything on records in its own memory, and then writes all of it in a few commands (`commit`).

local HOMES = {scheduled = 'due', leased = 'leased', succeeded = 'paid', dead = 'dead', reconcile = 'reconcile'}
local VERSION = 1

local function shard(keys)
  return {items = keys[1], due = keys[2], leased = keys[3], paid = keys[4], dead = keys[5], reconcile = keys[6],
          quarantine = keys[7], paused = keys[8], workers = keys[9], wake = keys[10],
          loaded = {},   -- The records that this script has read, by key; false where there is none.
          changed = {}}  -- Those to be written: by key, where it lay before.
end

-- The only clock. What is due, is so from the first microsecond of its millisecond.
local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function now_ms()
  return math.floor(now_us() / 1000)
end

-- Whether each field is of its kind. One that is not would stop every later claim of its shard.
local function is_record(list)
  if type(list) ~= 'table' or #list ~= 14 or list[1] ~= VERSION or not HOMES[list[2]] then return false end
  for i = 3, 10 do
    local count = list[i]
    if type(count) ~= 'number' or count < 0 or count > 2^53 or count % 1 ~= 0 then return false end
  end
  for i = 11, 14 do
    if type(list[i]) ~= 'string' then return false end
  end
  return true
end

-- The record in these bytes, or nil if they are none.
local function read(raw)
  local readable, list = pcall(cmsgpack.unpack, raw)
  if not readable or not is_record(list) then return nil end
  return {state = list[2],
          attempt = list[3],       -- The fencing token: grows with every lease, and never goes back.
          limit = list[4],         -- The attempt after which there is no other.
          settled = list[5],       -- The last attempt whose holder has told how it went.
          generation = list[6],    -- The second half of the provider's idempotency key.
          opened = list[7],        -- The attempt that was first to send this generation, 0 if none was.
          opened_at = list[8],     -- When that attempt began.
          enqueued_at = list[9],
          deadline = list[10],     -- No attempt begins later; 0 if there is no deadline.
          nonce = list[11],        -- Tells a call that is sent again from another call.
          fingerprint = list[12],
          payload = list[13],
          note = list[14]}         -- Why it is where it is; for a success, the provider's reference.
end

local function written(r)
  return cmsgpack.pack({VERSION, r.state, r.attempt, r.limit, r.settled, r.generation, r.opened, r.opened_at, r.enqueued_at,
                        r.deadline, r.nonce, r.fingerprint, r.payload, r.note})
end

-- Reads several records in one command.
local function preload(s, keys)
  if #keys == 0 then return end
  for i, raw in ipairs(redis.call('HMGET', s.items, unpack(keys))) do
    s.loaded[keys[i]] = raw and {r = read(raw), raw = raw} or {}
  end
end

-- The record of a payment, or nil; and its bytes, which there may be without a record that can be read.
local function load(s, key)
  if not s.loaded[key] then preload(s, {key}) end
  return s.loaded[key].r, s.loaded[key].raw
end

-- Moves a payment to a state. `score` is the one of the state's sorted set.
local function move(s, key, r, state, score)
  s.changed[key] = s.changed[key] or {r = r, before = r.state}
  s.changed[key].score = score
  r.state = state
end

-- Writes what has moved.
local function commit(s)
  local records, gone, come = {}, {}, {}
  for key, change in pairs(s.changed) do
    local r, before = change.r, HOMES[change.before]
    local home = HOMES[r.state]
    if before and before ~= home then
      gone[before] = gone[before] or {}
      table.insert(gone[before], key)
    end
    come[home] = come[home] or {}
    table.insert(come[home], change.score)
    table.insert(come[home], key)
    table.insert(records, key)
    table.insert(records, written(r))
  end
  if #records > 0 then redis.call('HSET', s.items, unpack(records)) end
  for home, keys in pairs(gone) do redis.call('ZREM', s[home], unpack(keys)) end
  for home, pairs_of_score_and_key in pairs(come) do redis.call('ZADD', s[home], unpack(pairs_of_score_and_key)) end
  s.changed = {}
end

local function head(set)
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2])
end

-- Schedules a payment. `announce` wakes the workers, if it is due before everything they know of.
local function schedule(s, key, r, due)
  s.earliest_before = s.earliest_before or head(s.due) or math.huge
  s.earliest = math.min(s.earliest or math.huge, due)
  move(s, key, r, 'scheduled', due)
end

-- An account that may not publish only makes workers find out later: they ask every few seconds.
local function announce(s)
  if s.earliest and s.earliest < s.earliest_before then redis.pcall('PUBLISH', s.wake, s.earliest) end
end

-- Ends a payment that has no attempt left, or no time. While a generation is open, money may have moved.
local function give_up(s, key, r, note, now)
  r.note = note
  move(s, key, r, r.opened == 0 and 'dead' or 'reconcile', now)
end

-- The provider has answered no: this generation is spent, and the next charge needs another one.
local function spend_generation(r)
  r.generation = r.generation + 1
  r.opened = 0
  r.opened_at = 0
end

-- Sets bytes aside that cannot be read as a payment. The key stays taken: it may have been charged.
local function set_aside(s, key, raw, reason, now)
  -- Where there are no bytes, those that were set aside before are kept.
  redis.call((raw or '') == '' and 'HSETNX' or 'HSET', s.quarantine, key, cmsgpack.pack({raw or '', reason, now}))
  redis.call('HDEL', s.items, key)
  for _, home in pairs(HOMES) do redis.call('ZREM', s[home], key) end
  s.loaded[key], s.changed[key] = {}, nil
end

-- What the holder of a lease shows: its attempt, and when the payment came, since a key that is free again begins anew.
local function token(r, attempt)
  return attempt .. '@' .. r.enqueued_at
end

-- Runs a step for each payment that its caller still holds. Answers each with `ok`, `again` (told before; the call was
-- sent a second time) or `lost` (somebody else holds it now).
local function settle(s, args, first, width, step)
  local keys, answers = {}, {}
  for i = first, #args, width do keys[#keys + 1] = args[i] end
  preload(s, keys)
  for i = first, #args, width do
    local key, shown = args[i], args[i + 1]
    local r = load(s, key)
    if r and r.state == 'leased' and token(r, r.attempt) == shown then
      r.settled = r.attempt
      step(key, r, i + 2)
      answers[#answers + 1] = 'ok'
    else
      local told = r and token(r, r.settled) == shown or redis.call('HEXISTS', s.quarantine, key) == 1
      answers[#answers + 1] = told and 'again' or 'lost'
    end
  end
  commit(s)
  announce(s)
  return answers
end

-- What is known of a payment, in the order of `Item`; nothing if there is none.
local function described(s, key)
  local aside = redis.call('HGET', s.quarantine, key)
  if aside then
    local list = cmsgpack.unpack(aside)
    return {key, 'quarantined', list[3], 0, 0, 0, 0, 0, 0, list[1], list[2]}
  end
  local r, raw = load(s, key)
  if r then
    return {key, r.state, redis.call('ZSCORE', s[HOMES[r.state]], key) or '-1', r.attempt, r.limit, r.generation, r.opened,
            r.enqueued_at, r.deadline, r.payload, r.note}
  end
  return raw and {key, 'quarantined', 0, 0, 0, 0, 0, 0, 0, raw, 'the record cannot be read'} or {}
end
