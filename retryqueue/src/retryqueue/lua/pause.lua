-- flags: allow-oom
-- Gives workers nothing more (ARGV: 1), or something again (ARGV: 0).

local function pause(keys, args)
  local s = shard(keys)
  if args[1] == '1' then
    redis.call('SET', s.paused, 1)
  else
    redis.call('DEL', s.paused)
    redis.pcall('PUBLISH', s.wake, 0)
  end
  return args[1]
end
