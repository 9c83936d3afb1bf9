-- flags: no-writes
-- Reads the payments in one state, up to a hundred at a time, and changes nothing.
--
-- ARGV: state, cursor (0 at first). Answers where to go on (0: nowhere), and what is known of each.

local function page(keys, args)
  local s, state, cursor = shard(keys), args[1], args[2]
  local names, following = {}, '0'
  if state == 'quarantined' then
    local scanned = redis.call('HSCAN', s.quarantine, cursor, 'COUNT', 100)
    following = scanned[1]
    for i = 1, #scanned[2], 2 do names[#names + 1] = scanned[2][i] end
  else
    names = redis.call('ZRANGE', s[HOMES[state]], cursor, cursor + 99)
    if #names == 100 then following = tostring(cursor + 100) end
  end
  local answers = {}
  for i, key in ipairs(names) do answers[i] = described(s, key) end
  return {following, answers}
end
