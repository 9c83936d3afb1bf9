-- (nothing) -> quarantined: bytes from elsewhere that cannot be read as a payment
--
-- ARGV: for each: a name for them, the bytes, reason. Answers how many were not there yet.

local function refuse(keys, args)
  local s, now, fresh = shard(keys), now_ms(), 0
  for i = 1, #args, 3 do
    fresh = fresh + redis.call('HSETNX', s.quarantine, args[i], cmsgpack.pack({args[i + 1], args[i + 2], now}))
  end
  return fresh
end
