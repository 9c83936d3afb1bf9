"""huey 3.5.4: a task that was enqueued is executed. Not if its worker is killed, and its documentation says so."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from huey import RedisHuey
from seen import Seen

from interlock.prove.contract import contract

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.world import World


class Shop:
    """A queue with one task, as an application has it."""

    def __init__(self, url: str, job: Callable[[], None]) -> None:
        self.huey = RedisHuey("shop", url=url, blocking=False, results=False)
        self.task = self.huey.task(retries=5)(job)

    def work(self) -> None:
        """What a worker of the consumer does with each task."""
        while (task := self.huey.dequeue()) is not None:
            self.huey.execute(task)


@contract(workers=2, faults=1)
def an_enqueued_task_is_executed(world: World) -> None:
    """It was popped before it is executed, and nobody is told when it was."""
    seen = world.outside(Seen())

    def job() -> None:
        seen.note(world.now_s, "executed")

    shop = world.subject(partial(Shop, world.redis_url, job))
    world.given(lambda: shop().task())
    world.run(lambda: shop().work())
    world.recover(times=2)
    world.check(seen.answered("executed"))
