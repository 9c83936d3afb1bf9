-- (nothing) -> reconcile: stored for a person to look at, and not charged
--
-- ARGV: nonce, reason, then for each payment: key, fingerprint, payload. Answers like enqueue.

local function hold(keys, args)
  local s, now, nonce, answers = shard(keys), now_ms(), args[1], {}
  for i = 3, #args, 3 do
    local key, r, raw = args[i], load(s, args[i])
    if raw or redis.call('HEXISTS', s.quarantine, key) == 1 then
      local answer = r and r.fingerprint ~= args[i + 1] and 'conflict' or r and r.nonce == nonce .. i and 'new' or 'duplicate'
      answers[#answers + 1] = {answer, r and r.state or 'quarantined', r and r.attempt or 0, r and r.note or ''}
    else
      r = {attempt = 0, limit = 0, settled = 0, generation = 1, opened = 0, opened_at = 0, enqueued_at = now, deadline = 0,
           nonce = nonce .. i, fingerprint = args[i + 1], payload = args[i + 2], note = args[2]}
      s.loaded[key] = {r = r, raw = ''}
      move(s, key, r, 'reconcile', now)
      answers[#answers + 1] = {'new', 'reconcile', 0, args[2]}
    end
  end
  commit(s)
  return answers
end
