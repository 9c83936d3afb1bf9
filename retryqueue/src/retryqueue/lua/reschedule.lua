-- flags: allow-oom
-- leased -> scheduled again; or dead | reconcile where there is no attempt or no time left
--
-- ARGV: for each payment: key, token, wait in ms, 1 if the provider has declined (0: the outcome is unknown), reason.

local function reschedule(keys, args)
  local s, now = shard(keys), now_ms()

  return settle(s, args, 1, 5, function(key, r, i)
    local due, declined, reason = now + tonumber(args[i]), args[i + 1] == '1', args[i + 2]
    if declined then spend_generation(r) end
    r.note = reason
    if r.attempt >= r.limit then
      give_up(s, key, r, 'attempt ' .. r.attempt .. ' of ' .. r.limit .. ': ' .. reason, now)
    elseif r.deadline > 0 and due > r.deadline then
      give_up(s, key, r, 'no attempt is possible before the deadline; the last one: ' .. reason, now)
    else
      schedule(s, key, r, due)
    end
  end)
end
