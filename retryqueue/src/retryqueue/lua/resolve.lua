-- flags: allow-oom
-- reconcile -> succeeded | scheduled, on the word of a person who has asked the provider
--
-- ARGV: nonce, attempts, key life in ms, paid horizon in ms, key, then the provider's reference; none if it has no charge.
-- Answers: ok, and the state; or refused, and the state (empty: there is no such payment).

local function resolve(keys, args)
  local s, now, nonce, attempts, key, reference = shard(keys), now_ms(), args[1], tonumber(args[2]), args[5], args[6]
  local r = load(s, key)
  if not r then return {'refused', ''} end
  if r.nonce == nonce then return {'ok', r.state} end
  if r.state ~= 'reconcile' then return {'refused', r.state} end

  r.nonce = nonce
  if reference then
    r.payload, r.note = '', reference
    move(s, key, r, 'succeeded', math.max(r.enqueued_at + tonumber(args[3]), now + tonumber(args[4])))
  else
    spend_generation(r)
    r.limit, r.deadline, r.note = r.attempt + attempts, 0, ''
    schedule(s, key, r, now)
  end
  commit(s)
  announce(s)
  return {'ok', r.state}
end
