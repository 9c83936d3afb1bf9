-- flags: allow-oom
-- dead -> scheduled, on an operator's word, with a full set of attempts and no deadline
--
-- ARGV: nonce, attempts, key. Answers: ok, and the state; or refused, and the state (empty: there is no such payment).

local function requeue(keys, args)
  local s, now, nonce, attempts, key = shard(keys), now_ms(), args[1], tonumber(args[2]), args[3]
  local r = load(s, key)
  if not r then return {'refused', ''} end
  if r.nonce == nonce then return {'ok', r.state} end
  if r.state ~= 'dead' then return {'refused', r.state} end

  r.nonce, r.limit, r.deadline, r.note = nonce, r.attempt + attempts, 0, ''
  schedule(s, key, r, now)
  commit(s)
  announce(s)
  return {'ok', 'scheduled'}
end
