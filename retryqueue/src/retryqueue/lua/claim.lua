-- scheduled -> leased; also leased -> scheduled | reconcile where a lease has run out, and forgets keys whose life is over.
--
-- ARGV: worker, the number of this claim, how many at most, lease in ms, the provider's window in ms.
-- Answers: the server's time in us, when something will happen next in ms (-1: nothing is known of), and the payments, each as
-- key, attempt, generation, payload, enqueued at, first attempt of the generation, last attempt of all, deadline.
--
-- A claim whose reply was lost is sent again with the same number, and is answered with the same payments: otherwise
-- they would lie idle until their leases run out. KEYS[11] remembers the worker's last claim for that.

local function lapse(s, now, most)
  local ended = redis.call('ZRANGEBYSCORE', s.leased, '-inf', now, 'LIMIT', 0, most)
  preload(s, ended)
  for _, key in ipairs(ended) do
    local r, raw = load(s, key)
    if not r then
      set_aside(s, key, raw, raw and 'the record cannot be read' or 'there is no record', now)
    elseif r.state ~= 'leased' then
      redis.call('ZREM', s.leased, key) -- Not one of ours: who leases, stores it.
    elseif r.attempt >= r.limit then
      give_up(s, key, r, 'attempt ' .. r.attempt .. ' of ' .. r.limit .. ' ended without an answer: its worker vanished', now)
    else
      r.note = 'the worker of attempt ' .. r.attempt .. ' vanished'
      move(s, key, r, 'scheduled', redis.call('ZSCORE', s.leased, key))
    end
  end
  commit(s)
end

local function sweep(s, now)
  local over = redis.call('ZRANGEBYSCORE', s.paid, '-inf', now, 'LIMIT', 0, 100)
  if #over > 0 then
    redis.call('HDEL', s.items, unpack(over))
    redis.call('ZREM', s.paid, unpack(over))
  end
end

-- Why this payment must not be charged now, or nil.
local function hindrance(r, now, lease, window)
  if r.deadline > 0 and now > r.deadline then return 'the deadline has passed' end
  -- A stamp from the future was made by a clock that was wrong, and tells nothing of what the provider remembers.
  if r.opened > 0 and (now + lease > r.opened_at + window or r.opened_at > now + lease) then
    return 'the provider may have forgotten the key of attempt ' .. r.opened .. ', whose outcome is unknown'
  end
end

local function lease_to_caller(s, key, r, now, lease)
  r.attempt = r.attempt + 1
  if r.opened == 0 then r.opened, r.opened_at = r.attempt, now end
  move(s, key, r, 'leased', now + lease)
end

local function told(key, r)
  return {key, r.attempt, r.generation, r.payload, r.enqueued_at, r.opened, r.limit, r.deadline}
end

local function take(s, now, most, lease, window)
  local taken, due = {}, redis.call('ZRANGEBYSCORE', s.due, '-inf', now, 'LIMIT', 0, most)
  preload(s, due)
  for _, key in ipairs(due) do
    local r, raw = load(s, key)
    local reason = r and hindrance(r, now, lease, window)
    if not r then
      set_aside(s, key, raw, raw and 'the record cannot be read' or 'there is no record', now)
    elseif r.state ~= 'scheduled' then
      redis.call('ZREM', s.due, key) -- Likewise.
    elseif reason then
      give_up(s, key, r, reason, now)
    else
      lease_to_caller(s, key, r, now, lease)
      taken[#taken + 1] = told(key, r)
    end
  end
  commit(s)
  return taken
end

-- What the same claim was given when it was made the first time, as far as it is still held; nothing if it is older than the
-- last one, since nobody waits for its answer; nil if it is a new claim.
local function given_before(s, memory, number)
  local raw = redis.call('GET', memory)
  local last = raw and cmsgpack.unpack(raw)
  if not last or tonumber(last[1]) < number then return nil end
  if tonumber(last[1]) > number then return {} end
  local held = {}
  for i = 2, #last, 2 do
    local r = load(s, last[i])
    if r and r.state == 'leased' and token(r, r.attempt) == last[i + 1] then held[#held + 1] = told(last[i], r) end
  end
  return held
end

local function remember(memory, number, taken, lease)
  local last = {number}
  for _, item in ipairs(taken) do
    last[#last + 1] = item[1]
    last[#last + 1] = token({enqueued_at = item[5]}, item[2])
  end
  redis.call('SET', memory, cmsgpack.pack(last), 'PX', lease)
end

-- When there will be something to do: nothing is given out during a pause, but leases and the lives of keys end.
local function next_event(s, paused)
  local due = not paused and head(s.due)
  local next = math.min(due or math.huge, head(s.leased) or math.huge, head(s.paid) or math.huge)
  return next < math.huge and next or -1
end

local function claim(keys, args)
  local s, now, memory = shard(keys), now_ms(), keys[11]
  local worker, number, most, lease, window = args[1], tonumber(args[2]), tonumber(args[3]), tonumber(args[4]), tonumber(args[5])

  local paused = redis.call('EXISTS', s.paused) == 1
  local taken = given_before(s, memory, number)
  if not taken then
    lapse(s, now, most)
    sweep(s, now)
    taken = paused and {} or take(s, now, most, lease, window)
    remember(memory, number, taken, lease)
    redis.call('ZADD', s.workers, now, worker)
    redis.call('ZREMRANGEBYSCORE', s.workers, '-inf', now - 86400000)
  end
  return {now_us(), next_event(s, paused), taken}
end
