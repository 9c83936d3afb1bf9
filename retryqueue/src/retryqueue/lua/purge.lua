-- flags: allow-oom
-- dead | quarantined -> (nothing), on an operator's word: the key is free again
--
-- ARGV: keys. Answers for each the state it was in, if it is gone now; `refused` if it is in another; or nothing.

local function purge(keys, args)
  local s, answers = shard(keys), {}
  for _, key in ipairs(args) do
    local r, raw = load(s, key)
    if raw and not r then set_aside(s, key, raw, 'the record cannot be read', 0) end
    if redis.call('HDEL', s.quarantine, key) == 1 then
      answers[#answers + 1] = 'quarantined'
    elseif r and r.state == 'dead' then
      redis.call('HDEL', s.items, key)
      redis.call('ZREM', s.dead, key)
      answers[#answers + 1] = 'dead'
    else
      answers[#answers + 1] = r and 'refused' or ''
    end
  end
  return answers
end
