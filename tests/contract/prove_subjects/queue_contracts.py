"""Contracts that other processes find by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import queues  # type: ignore[import-not-found]

from interlock.prove.contract import contract

if TYPE_CHECKING:
    from interlock.prove.world import World


def charges_once(world: World, kind: Any) -> None:
    bank = world.provider(queues.PROVIDER, moods=("ok", "declines once"))
    world.recover(times=2)
    queue = world.subject(kind, world.redis_url)
    world.given(lambda: queue().enqueue("p1"))
    world.run(lambda: queue().process())
    world.check(bank.charged_at_most_once("p1"))


@contract()
def right(world: World) -> None:
    charges_once(world, queues.Right)


@contract()
def without_key(world: World) -> None:
    charges_once(world, queues.WithoutKey)


@contract()
def looks_then_takes(world: World) -> None:
    charges_once(world, queues.LooksThenTakes)


@contract()
def goes_elsewhere(world: World) -> None:
    charges_once(world, queues.GoesElsewhere)
