-- flags: allow-oom
-- leased -> quarantined: the worker cannot read the payment as one
--
-- ARGV: for each payment: key, token, reason.

local function quarantine(keys, args)
  local s, now = shard(keys), now_ms()

  return settle(s, args, 1, 3, function(key, _, i)
    set_aside(s, key, redis.call('HGET', s.items, key), args[i], now)
  end)
end
