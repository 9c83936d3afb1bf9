-- flags: allow-oom
-- leased -> succeeded
--
-- ARGV: key life in ms, paid horizon in ms, then for each payment: key, token, the provider's reference.
-- The payment itself is dropped; its fingerprint stays, so that a repeat is still told from a conflict.

local function succeed(keys, args)
  local s, now = shard(keys), now_ms()
  local life, horizon = tonumber(args[1]), tonumber(args[2])

  return settle(s, args, 3, 3, function(key, r, i)
    r.payload, r.note = '', args[i]
    move(s, key, r, 'succeeded', math.max(r.enqueued_at + life, now + horizon))
  end)
end
