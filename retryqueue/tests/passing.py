"""Time that passes at once: a server's clock cannot be set, so all that a queue has stored of time is moved into the past.

What the scripts compare is the server's time with times that they have stored, and with the life of the memory of a claim.
With all of these earlier by an hour, every comparison comes out as it would an hour later. A token that a test holds names
such a time too: `later` makes a lease what it is after the hour.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from retryqueue.shards import Shard

if TYPE_CHECKING:
    import redis

    from retryqueue import Lease

# The places of `opened_at`, `enqueued_at` and `deadline` in a record, and of the time in what is set aside: see `record.lua`.
_EARLIER = """
local items, quarantine, ms = KEYS[1], KEYS[2], tonumber(ARGV[1])
for i = 3, 8 do
  local all = redis.call('ZRANGE', KEYS[i], 0, -1, 'WITHSCORES')
  for j = 1, #all, 2 do redis.call('ZADD', KEYS[i], all[j + 1] - ms, all[j]) end
end
local function moved(hash, length, places)
  local all = redis.call('HGETALL', hash)
  for j = 1, #all, 2 do
    local readable, list = pcall(cmsgpack.unpack, all[j + 1])
    if readable and type(list) == 'table' and #list >= length then
      for _, place in ipairs(places) do
        if type(list[place]) == 'number' and list[place] > 0 then list[place] = list[place] - ms end
      end
      redis.call('HSET', hash, all[j], cmsgpack.pack(list))
    end
  end
end
moved(items, 14, {8, 9, 10})
moved(quarantine, 3, {3})
local function earlier(token)
  local attempt, came = string.match(token, '^(%d+)@(%d+)$')
  return attempt and attempt .. '@' .. (came - ms) or token
end
for i = 9, #KEYS do
  local left, last = redis.call('PTTL', KEYS[i]), cmsgpack.unpack(redis.call('GET', KEYS[i]))
  for j = 3, #last, 2 do last[j] = earlier(last[j]) end
  if left > ms then
    redis.call('SET', KEYS[i], cmsgpack.pack(last), 'PX', left - ms)
  else
    redis.call('DEL', KEYS[i])
  end
end
"""
_SETS = ("due", "leased", "paid", "dead", "reconcile", "workers")


def let_pass(client: redis.Redis, ms: int, *, name: str = "payments", number: int = 0) -> None:
    """Lets time pass on one shard of a queue.

    Args:
        client: Of the server.
        ms: How much time, in milliseconds.
        name: The queue's name.
        number: The shard's number.
    """
    shard = Shard(name, number)
    memories = list(client.scan_iter(shard.key("claim:") + "*", count=1000))
    keys = [shard.key("items"), shard.key("quarantine"), *(shard.key(part) for part in _SETS), *memories]
    client.eval(_EARLIER, len(keys), *keys, str(ms))


def later(lease: Lease, ms: int) -> Lease:
    """What a lease that was given before is, once so much time has passed."""
    return replace(lease, enqueued_at_ms=lease.enqueued_at_ms - ms)
