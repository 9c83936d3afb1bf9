-- flags: allow-oom
-- leased -> scheduled: given back before anything was sent, so that it costs no attempt
--
-- ARGV: for each payment: key, token.

local function release(keys, args)
  local s, now = shard(keys), now_ms()

  return settle(s, args, 1, 2, function(key, r)
    r.limit = r.limit + 1
    if r.opened == r.attempt then r.opened, r.opened_at = 0, 0 end
    schedule(s, key, r, now)
  end)
end
