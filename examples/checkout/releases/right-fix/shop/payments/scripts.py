"""The four steps of the retry queue, each atomic on the server.

A record is a hash: `payload`, `digest`, `attempt`, `generation`, `since_ms`. It lives as long as its payment is open or
dead, and REMEMBER_MS longer than a payment that was paid, so that a late repeat still finds it.
"""

from typing import Final

_NOW: Final = """
local clock = redis.call('TIME')
local now_ms = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""

# A worker may change a record only while it holds the newest claim on it.
_FENCE: Final = """
if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[2] then return 0 end
"""

# KEYS: record, due. ARGV: id, payload, digest, delay in ms. Gives new, known or conflict.
ENQUEUE: Final = (
    _NOW
    + """
local digest = redis.call('HGET', KEYS[1], 'digest')
if digest then return digest == ARGV[3] and 'known' or 'conflict' end
redis.call('HSET', KEYS[1], 'payload', ARGV[2], 'digest', ARGV[3], 'attempt', 0, 'generation', 1, 'since_ms', now_ms)
redis.call('ZADD', KEYS[2], now_ms + ARGV[4], ARGV[1])
return 'new'
"""
)

# KEYS: due, quarantine. ARGV: lease in ms, prefix of records.
# Gives id, attempt, generation, age in ms and payload of the first payment that is due. The attempt is stored here,
# before anything is charged, so a worker that dies in the middle has used one up. Ids without a record are set aside.
CLAIM: Final = (
    _NOW
    + """
for _ = 1, 100 do
  local id = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now_ms, 'LIMIT', 0, 1)[1]
  if not id then return false end
  local record = ARGV[2] .. id
  if redis.call('TYPE', record).ok == 'hash' then
    redis.call('ZADD', KEYS[1], now_ms + ARGV[1], id)
    local attempt = redis.call('HINCRBY', record, 'attempt', 1)
    local stored = redis.call('HMGET', record, 'generation', 'since_ms', 'payload')
    local age_ms = now_ms - (tonumber(stored[2]) or 0)
    return {id, attempt, tonumber(stored[1]) or 1, age_ms, stored[3] or ''}
  end
  redis.call('ZREM', KEYS[1], id)
  redis.call('LPUSH', KEYS[2], id)
end
return false
"""
)

# KEYS: record, due. ARGV: id, attempt, generation, delay in ms.
RESCHEDULE: Final = (
    _NOW
    + _FENCE
    + """
redis.call('HSET', KEYS[1], 'generation', ARGV[3])
redis.call('ZADD', KEYS[2], now_ms + ARGV[4], ARGV[1])
return 1
"""
)

# KEYS: record, due, and the list that the payment is moved to, if it was not paid. ARGV: id, attempt, ms to remember.
CLOSE: Final = (
    _FENCE
    + """
redis.call('ZREM', KEYS[2], ARGV[1])
if KEYS[3] then
  redis.call('LPUSH', KEYS[3], ARGV[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
"""
)
