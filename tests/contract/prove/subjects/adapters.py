"""How the contracts ask each subject: what a user would write, once for each kind of module."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from interlock.prove.contract import Contract, contract
from interlock.prove.contracts.retry_queue import RetryQueue

if TYPE_CHECKING:
    from interlock.prove.world import World


def retry_queue(module: str, name: str) -> Contract:
    """A contract for one of the queues."""
    kind = getattr(importlib.import_module(module), name)

    @contract
    def payments(world: World) -> RetryQueue:
        queue: Any = world.subject(kind, world.redis_url)
        as_fields = name != "LockQueue"
        return RetryQueue(
            world.provider("http://api.pay.example/charges"),
            enqueue=lambda payment: (
                queue().enqueue(payment.key, {"user": payment.user, "amount": payment.amount_minor})
                if as_fields
                else queue().enqueue(payment.key, payment.user, payment.amount_minor)
            ),
            process=lambda: queue().process(),
            dead_letters=lambda: queue().dead_letters(),
            to_reconcile=lambda: queue().unsure(),
            attempts=3,
            retry_after_s=(60, 120),
        )

    return payments
