-- (nothing) -> quarantined: bytes from elsewhere that cannot be read as a payment
--
-- ARGV: nonce, then for each: a name for them, the bytes, reason. Answers how many were not there yet.

local function refuse(keys, args)
  local s, now, nonce, fresh = shard(keys), now_ms(), args[1], 0
  for i = 2, #args, 3 do
    redis.call('HSETNX', s.quarantine, args[i], cmsgpack.pack({args[i + 1], args[i + 2], now, nonce .. i}))
    if cmsgpack.unpack(redis.call('HGET', s.quarantine, args[i]))[4] == nonce .. i then fresh = fresh + 1 end
  end
  return fresh
end
