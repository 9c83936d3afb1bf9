-- (nothing) -> scheduled
--
-- ARGV: nonce, attempts, then for each payment: key, fingerprint, payload, delay in ms, deadline in ms from now (0: none).
-- Answers for each: new, duplicate or conflict; the state; the attempt; and the note.

local function enqueue(keys, args)
  local s, now, answers = shard(keys), now_ms(), {}
  local nonce, attempts = args[1], tonumber(args[2])

  for i = 3, #args, 5 do
    local key, fingerprint, payload, delay = args[i], args[i + 1], args[i + 2], tonumber(args[i + 3])
    local r, raw = load(s, key)
    local over = r and r.state == 'succeeded' and redis.call('ZSCORE', s.paid, key)
    if over and tonumber(over) <= now then
      r, raw = nil, nil -- The key's life is over, though nobody has swept it away yet.
    end

    if raw and not r or not raw and redis.call('HEXISTS', s.quarantine, key) == 1 then
      answers[#answers + 1] = {'duplicate', 'quarantined', 0, ''}
    elseif r then
      local answer = r.fingerprint ~= fingerprint and 'conflict' or r.nonce == nonce .. i and 'new' or 'duplicate'
      answers[#answers + 1] = {answer, r.state, r.attempt, r.note}
    else
      redis.call('ZREM', s.paid, key)
      local within = tonumber(args[i + 4])
      schedule(s, key, {attempt = 0, limit = attempts, settled = 0, generation = 1, opened = 0, opened_at = 0, enqueued_at = now,
                        deadline = within > 0 and now + within or 0, nonce = nonce .. i, fingerprint = fingerprint,
                        payload = payload, note = ''}, now + delay)
      answers[#answers + 1] = {'new', 'scheduled', 0, ''}
    end
  end
  return answers
end
