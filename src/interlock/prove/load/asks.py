"""What a contract has the processes of a load do: call, work, and tell in the end what lies aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.core.errors import UsageError
from interlock.prove.contracts.retry_queue import Payment, RetryQueue, payment_keys
from interlock.prove.load.accounts import Till, payment_key
from interlock.prove.load.crew import Duties

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from interlock.prove.contract import Contract
    from interlock.prove.load.calls import Call
    from interlock.prove.load.loaded import LoadedWorld

_REPEATS = 0.1
_CENTS = 9901


@dataclass(frozen=True, slots=True)
class Asks:
    """What is asked of the processes.

    Attributes:
        duties: What they do.
        repeats: Which share of the calls asks again for an earlier payment, unless the load says so.
        due_after_s: How long a payment waits for its first attempt.
        waits_s: How long the time runs on before each time that the workers look, after the load.
        till: Where the payments are counted; None where calls are no payments.
    """

    duties: Duties
    repeats: float
    due_after_s: float
    waits_s: tuple[float, ...]
    till: Till | None


def asks(contract: Contract, world: LoadedWorld) -> Asks:
    """What a contract asks.

    Raises:
        UsageError: If it says nothing that could be put under load.
    """
    promise = contract.shown(world)
    if isinstance(promise, RetryQueue):
        return _of_payments(promise, world)
    if promise is not None:
        raise UsageError(
            f"{contract.where}: {contract.name} promises a {type(promise).__name__}, and only a RetryQueue is put under load by"
            " itself; expected a contract with world.load(...)"
        )
    if world.called is None:
        raise UsageError(f"{contract.where}: {contract.name} has no world.load(...): nothing is called")
    called = world.called
    asked = {"given": _in_turn(world.setup)} | ({"recover": recover} if (recover := world.recovery.task) is not None else {})
    duties = Duties(lambda call: called(call.number), world.tasks, asked)
    waits_s = world.recovery.waits_s if world.tasks or world.recovery.task is not None else ()
    return Asks(duties, 0.0, 0.0, waits_s, None)


def _of_payments(queue: RetryQueue, world: LoadedWorld) -> Asks:
    queue.provider.moods = next((moods for provider, moods in world.providers if provider is queue.provider), ())
    till = Till(queue.provider, queue.attempts, queue.due_after_s)
    for host, answer in world.answers.items():
        if answer == queue.provider.answer:
            world.answers[host] = till.answer

    def enqueue(call: Call) -> None:
        amount_minor = 99 + call.payment % _CENTS
        queue.enqueue(Payment(payment_key(call.payment), user=f"u{call.user}", amount_minor=amount_minor))

    asked: dict[str, Callable[[], object]] = {
        "given": _in_turn(world.setup),
        "dead_letters": lambda: _keys(queue.dead_letters, "dead_letters"),
        "to_reconcile": lambda: _keys(queue.to_reconcile, "to_reconcile"),
    }
    return Asks(Duties(enqueue, (queue.process,), asked), _REPEATS, queue.due_after_s, queue.waits_s, till)


def _in_turn(tasks: Iterable[Callable[[], object]]) -> Callable[[], object]:
    kept = tuple(tasks)

    def every() -> None:
        for task in kept:
            task()

    return every


def _keys(asked: Callable[[], object], name: str) -> frozenset[str] | str:
    """The keys that a function of the contract's own answers, or what is wrong with its answer."""
    found = asked()
    try:
        return payment_keys(found, name)
    except UsageError as error:
        return str(error)
