-- (nothing) -> scheduled
--
-- ARGV: nonce, attempts, then for each payment: key, fingerprint, payload, delay in ms, deadline in ms from now (0: none).
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

local function enqueue(keys, args)
  local s, now, answers = shard(keys), now_ms(), {}
  local nonce, attempts, some_set_aside = args[1], tonumber(args[2]), redis.call('HLEN', s.quarantine) > 0
  local names = {}
  for i = 3, #args, 5 do names[#names + 1] = args[i] end
  preload(s, names)

  for i = 3, #args, 5 do
    local key, fingerprint, within = args[i], args[i + 1], tonumber(args[i + 4])
    local r, raw = load(s, key)
    if is_over(s, key, r, now) then r, raw = nil, nil end

    if raw or some_set_aside and redis.call('HEXISTS', s.quarantine, key) == 1 then
      answers[#answers + 1] = answer_to_known(r, fingerprint, nonce .. i)
    else
      local before = s.loaded[key].r
      r = {state = before and before.state, attempt = 0, limit = attempts, settled = 0, generation = 1, opened = 0,
           opened_at = 0, enqueued_at = now, deadline = within > 0 and now + within or 0, nonce = nonce .. i,
           fingerprint = fingerprint, payload = args[i + 2], note = ''}
      s.loaded[key] = {r = r, raw = ''}
      schedule(s, key, r, now + tonumber(args[i + 3]))
      answers[#answers + 1] = 0
    end
  end
  commit(s)
  announce(s)
  return answers
end
