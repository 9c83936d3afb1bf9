-- flags: allow-oom
-- leased -> dead: the provider's no is final
--
-- ARGV: for each payment: key, token, reason.

local function bury(keys, args)
  local s, now = shard(keys), now_ms()

  return settle(s, args, 1, 3, function(key, r, i)
    spend_generation(r)
    r.note = args[i]
    move(s, key, r, 'dead', now)
  end)
end
