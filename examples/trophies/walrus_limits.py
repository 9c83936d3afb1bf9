"""walrus 0.9.8: `rate_limit` and `rate_limit_lua`, each of which "allows up to "limit" number of events" in a time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from seen import Seen
from walrus import Database

from interlock.prove.contract import contract

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.world import World


def one_a_minute(world: World, kind: str, pauses_s: tuple[float, ...]) -> None:
    """One event a minute, for a user who tries again after each pause."""
    seen = world.outside(Seen())
    limit: Callable[[], Any] = world.subject(partial(limiter, world.redis_url, kind))

    def tries() -> None:
        for pause_s in pauses_s:
            world.wait(pause_s)
            seen.note(world.now_s, "refused" if limit().limit("u1") else "allowed")

    world.run(tries)
    world.recover(lambda: None, times=1)
    world.check(seen.answered_at_most("allowed", 1, 60))


def limiter(url: str, kind: str) -> Any:
    """A limiter of a process."""
    return getattr(Database.from_url(url), kind)("api", limit=1, per=60)


@contract(workers=2, faults=0)
def rate_limit_allows_one_a_minute(world: World) -> None:
    """Two requests at once: it looks how many there were, and then writes. Its sibling is the one that is atomic."""
    one_a_minute(world, "rate_limit", (0,))


@contract(workers=1, faults=0)
def rate_limit_lua_allows_one_a_minute(world: World) -> None:
    """One user who is refused, and tries again: the script lets the key expire after `limit` times 2 s, and not after `per`."""
    one_a_minute(world, "rate_limit_lua", (0, 1, 5))
