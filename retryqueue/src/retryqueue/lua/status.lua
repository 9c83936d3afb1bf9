-- flags: no-writes
-- Counts, and changes nothing.
--
-- Answers: the server's time, paused or not, the number of payments in each state (scheduled, leased, succeeded, dead,
-- reconcile, quarantined), when the first one is due and when the first lease ends (-1: none), and the workers with the
-- time each was last seen.

local function status(keys)
  local s = shard(keys)
  local count = {}
  for i, home in ipairs({'due', 'leased', 'paid', 'dead', 'reconcile'}) do count[i] = redis.call('ZCARD', s[home]) end
  count[6] = redis.call('HLEN', s.quarantine)
  return {now_ms(), redis.call('EXISTS', s.paused), count, head(s.due) or -1, head(s.leased) or -1,
          redis.call('ZREVRANGE', s.workers, 0, 99, 'WITHSCORES')}
end
