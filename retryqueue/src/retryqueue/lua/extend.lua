-- flags: allow-oom
-- leased -> leased, for longer
--
-- ARGV: lease in ms, then for each payment: key, token. Answers each with ok or lost.

local function extend(keys, args)
  local s, until_ms, answers = shard(keys), now_ms() + tonumber(args[1]), {}
  for i = 2, #args, 2 do
    local key = args[i]
    local r = load(s, key)
    local held = r and r.state == 'leased' and token(r, r.attempt) == args[i + 1]
    if held then redis.call('ZADD', s.leased, until_ms, key) end
    answers[#answers + 1] = held and 'ok' or 'lost'
  end
  return answers
end
