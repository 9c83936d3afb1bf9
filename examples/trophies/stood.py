"""Libraries in which nothing was found, each under the contract that another one has broken.

limits 5.8.0, pyrate-limiter 4.5.1, python-redis-rate-limit 0.0.10, python-redis-lock 4.0.1, walrus 0.9.8 (its `lock`) and rq
2.12.0 (of two equal unique jobs one is enqueued).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import redis
import redis_lock
from limits import parse, storage, strategies
from pyrate_limiter import Duration, Rate, RateItem, RedisBucket
from redis_rate_limit import RateLimit, TooManyRequests
from rq import Queue
from rq.exceptions import DuplicateJobError
from seen import Seen
from walrus import Database

from interlock.prove.contract import contract
from interlock.prove.invariant import Invariant

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.world import World

# A caller that is held up for longer than a window, or whose clock is wrong, is another matter: most of them ask its clock.
ON_TIME = ("crash before", "crash after", "reset", "lost reply")


def one_a_minute(world: World, asks: Callable[[], bool]) -> None:
    """One call a minute, for two callers who try again and again."""
    seen = world.outside(Seen())

    def tries() -> None:
        for pause_s in (0, 1, 30):
            world.wait(pause_s)
            seen.note(world.now_s, "allowed" if asks() else "refused")

    world.run(tries)
    world.recover(lambda: None, times=1)
    world.check(seen.answered_at_most("allowed", 1, 59))


def one_inside(world: World, acquire: Callable[[], bool], release: Callable[[], Any]) -> None:
    """Two who want one lock, and work for a second with it."""
    seen = world.outside(Seen())

    def works() -> None:
        if acquire():
            seen.enter()
            world.wait(1)
            seen.leave()
            release()

    world.run(works)
    world.recover(lambda: None, times=1)
    world.check(seen.inside_at_most(1))


def client(world: World) -> Callable[[], redis.Redis]:
    """A client for each process."""
    return world.subject(partial(redis.Redis.from_url, world.redis_url))


@contract(workers=2, faults=1, kinds=ON_TIME)
def limits_fixed_window(world: World) -> None:
    """One script counts and sets the expiry."""
    limit = world.subject(lambda: strategies.FixedWindowRateLimiter(storage.RedisStorage(world.redis_url)))
    one_a_minute(world, lambda: limit().hit(parse("1/minute"), "u1"))


@contract(workers=2, faults=1, kinds=ON_TIME)
def limits_moving_window(world: World) -> None:
    """One script looks and writes; the time is the caller's."""
    limit = world.subject(lambda: strategies.MovingWindowRateLimiter(storage.RedisStorage(world.redis_url)))
    one_a_minute(world, lambda: limit().hit(parse("1/minute"), "u1"))


@contract(workers=2, faults=1, kinds=ON_TIME)
def pyrate_limiter_bucket(world: World) -> None:
    """One script looks and writes; the time is the caller's."""
    bucket = world.subject(lambda: RedisBucket.init([Rate(1, Duration.MINUTE)], client(world)(), "u1"))
    one_a_minute(world, lambda: bool(bucket().put(RateItem("u1", bucket().now()))))


@contract(workers=2, faults=1, kinds=ON_TIME)
def python_redis_rate_limit(world: World) -> None:
    """One script counts and sets the expiry."""
    limit = world.subject(
        lambda: RateLimit("api", "u1", max_requests=1, expire=60, redis_pool=redis.ConnectionPool.from_url(world.redis_url))
    )

    def asks() -> bool:
        try:
            with limit():
                return True
        except TooManyRequests:
            return False

    one_a_minute(world, asks)


@contract(workers=2, faults=1, kinds=ON_TIME)
def python_redis_lock(world: World) -> None:
    """SET with NX and an expiry, and a script that looks who the holder is."""
    lock = world.subject(lambda: redis_lock.Lock(client(world)(), "job", expire=30))
    one_inside(world, lambda: lock().acquire(blocking=False), lambda: lock().release())


@contract(workers=2, faults=1, kinds=ON_TIME)
def walrus_lock(world: World) -> None:
    """The same, in scripts."""
    lock = world.subject(lambda: Database.from_url(world.redis_url).lock("job", ttl=30_000))
    one_inside(world, lambda: lock().acquire(block=False), lambda: lock().release())


@contract(workers=2, faults=0)
def rq_unique_job(world: World) -> None:
    """Of two producers of one unique job, one is told that it is a duplicate, and the job is in the queue once."""
    seen = world.outside(Seen())
    queue = world.subject(lambda: Queue("jobs", connection=client(world)()))

    def produces() -> None:
        try:
            queue().enqueue("shop.charge", job_id="order-1", unique=True)
            seen.note(world.now_s, "new")
        except DuplicateJobError:
            pass

    def queued() -> str | None:
        number = world.redis("LLEN", "rq:queue:jobs")
        return None if number == 1 else f"the job is in the queue {number} times"

    world.run(produces)
    world.recover(lambda: None, times=1)
    world.check(seen.answered_at_most("new", 1, 60), Invariant("the job is in the queue once", queued))
