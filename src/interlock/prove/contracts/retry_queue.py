"""A payment retry queue: each payment is charged exactly once, or set aside where people look; none is lost.

The schedule and the limit of attempts are kept, and a dead letter is complete: nothing is given up before its last attempt,
and nothing that was charged is given up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from interlock.core.counting import counted
from interlock.core.errors import UsageError
from interlock.prove.invariant import Invariant
from interlock.prove.provider import Provider, times
from interlock.prove.worker import SETTING_UP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from interlock.prove.contract import Scenario
    from interlock.prove.world import Mishap, World


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as the scenarios enqueue it.

    Attributes:
        key: Names the payment, whoever asks for it and however often.
        user: Whose it is.
        amount_minor: In cents.
        currency: As ISO 4217 has it.
        method: The provider's token of the means of payment.
    """

    key: str
    user: str = "u1"
    amount_minor: int = 4999
    currency: str = "EUR"
    method: str = "pm_1"


@dataclass(frozen=True, slots=True)
class RetryQueue:
    """What a payment retry queue promises, and how it is asked to do things.

    Attributes:
        provider: Who charges.
        enqueue: Asks for a payment to be charged. Whatever it returns, it has accepted the payment, unless it raises.
        process: What a worker does: charges what is due, and returns.
        dead_letters: The keys of the payments that were given up.
        to_reconcile: The keys of those that people must look into, because money may have moved; none, if there are no such.
        attempts: How often the provider is asked at most, before a payment is given up; None if there is no limit.
        retry_after_s: How long the second attempt waits at least after the first was declined, and so on.
        lease_s: How long a payment may be held by a worker that has died.
        due_after_s: How long a payment waits for its first attempt.
        known_for_s: For how long the same payment is recognised.
        enqueue_unreadable: Puts bytes into the queue that are no payment, for the poison item; without it there are none.
    """

    provider: Provider
    enqueue: Callable[[Payment], object]
    process: Callable[[], object]
    dead_letters: Callable[[], Iterable[str]]
    to_reconcile: Callable[[], Iterable[str]] = tuple
    attempts: int | None = 5
    retry_after_s: tuple[float, ...] = ()
    lease_s: float = 30.0
    due_after_s: float = 0.0
    known_for_s: float = 24 * 60 * 60.0
    enqueue_unreadable: Callable[[bytes], object] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.provider, Provider):  # pyright: ignore[reportUnnecessaryIsInstance] - by whoever has no checker.
            raise UsageError(f"RetryQueue: found {self.provider!r} as provider, expected world.provider(...)")
        for name in ("enqueue", "process", "dead_letters", "to_reconcile"):
            if not callable(getattr(self, name)):
                raise UsageError(f"RetryQueue: found {getattr(self, name)!r} as {name}, expected a function")
        if self.attempts is not None and self.attempts < 1:
            raise UsageError(f"RetryQueue: found attempts={self.attempts}, expected at least 1, or None for no limit")

    def scenarios(self) -> Iterable[Scenario]:
        """The twelve."""
        from interlock.prove.scenarios import of_payments  # noqa: PLC0415 - they know this class.

        return of_payments()

    def wait_until_due(self, world: World) -> None:
        """Lets the time pass that a payment waits for its first attempt, so that the workers come to make it."""
        if self.due_after_s:
            world.given(lambda: world.wait(self.due_after_s + 1))
        self.must_ask(world)

    def must_ask(self, world: World) -> None:
        """Demands that the workers come to ask the provider: else only the one that clears up has been tried."""
        world.sometimes(
            "a worker asks the provider",
            lambda: any(step.effect.kind == "http" and not step.worker.startswith(SETTING_UP) for step in world.history),
            advice=f"RetryQueue has due_after_s={self.due_after_s:g}, which is how long a payment waits for its first attempt",
        )

    def up_to_the_last_attempt(self, world: World) -> None:
        """Uses up all attempts but one."""
        for delay_s in self._delays_s[: (self.attempts or 1) - 1]:
            self.process()
            world.wait(delay_s + 1)

    @property
    def _delays_s(self) -> tuple[float, ...]:
        return self.retry_after_s or tuple(60.0 * number for number in range(1, self.attempts or 5))

    @property
    def waits_s(self) -> tuple[float, ...]:
        """When the worker that clears up looks: after a lease, then half-way to each next attempt, and after it."""
        delays = self._delays_s
        halves = [delay / 2 + 0.5 for delay in delays for _ in range(2)]
        return (self.lease_s + 1, self.due_after_s + 1, *halves, self.lease_s + 1, max(delays, default=0) + 1)

    def check(self, world: World, *payments: Payment) -> None:
        """Demands of each payment what must hold of every one."""
        found = _SetAside()
        world.look(lambda: found.read(self))
        for payment in payments:
            world.check(self._accounted(payment.key, found), self._given_up_in_time(payment.key, found, world))
            if self.attempts is not None:
                world.check(self._limit(payment.key, self.attempts, world))
            if self.retry_after_s:
                world.check(self._schedule(payment.key, world))

    def _accounted(self, key: str, found: _SetAside) -> Invariant:
        """Charged once, or set aside; and no dead letter if it was charged."""

        def broken() -> str | None:
            charged = self.provider.charged(key)
            if charged > 1:
                return f"{key} was charged {times(charged)}"
            if charged and key in found.dead:
                return f"{key} was charged, and is a dead letter"
            if not charged and key not in found.dead | found.unsure:
                return f"{key} is lost: it was accepted, and never charged nor set aside"
            return None

        return Invariant(f"{key} is charged exactly once, or set aside", broken)

    def _given_up_in_time(self, key: str, found: _SetAside, world: World) -> Invariant:
        """A dead letter has had all its attempts; a fault may have used one up, before its request was sent."""

        def broken() -> str | None:
            most, mishaps = self.attempts, world.mishaps
            if key not in found.dead or most is None:
                return None
            asked = [asked for asked in self.provider.asked if asked.payment == key]
            answered = sum(not one.is_repeat for one in asked)  # A repeated answer is no attempt of its own.
            if len(asked) + _used_up(mishaps) >= most and answered + len(mishaps) >= most:
                return None
            return f"{key} was given up after {counted(answered, 'attempt')}, where {most} are promised"

        return Invariant(f"{key} is not given up too soon", broken)

    def _limit(self, key: str, most: int, world: World) -> Invariant:
        """A client may send a request again by itself, if its answer was lost; and Redis may have lost an attempt."""

        def broken() -> str | None:
            again = sum(_may_ask_again(one) for one in world.mishaps)
            made = self.provider.attempts(key)
            return f"{counted(made, 'attempt')} to charge {key}, where {most} are allowed" if made > most + again else None

        return Invariant(f"at most {counted(most, 'attempt')} to charge {key}", broken)

    def _schedule(self, key: str, world: World) -> Invariant:
        """Only where nothing goes wrong: what follows a crash follows the lease, and a clock that is ahead is early."""
        kept = self.provider.schedule(key, self.retry_after_s)
        return Invariant(kept.says, lambda: None if world.mishaps or any(world.ahead_s) else kept.broken())


def _may_ask_again(mishap: Mishap) -> bool:
    """Whoever is killed before it sends a request does not send it again."""
    return mishap.fault.startswith("restart") or (mishap.kind == "http" and mishap.fault != "crash before")


def _used_up(mishaps: Sequence[Mishap]) -> int:
    """How many faults kept a worker from sending a request for which it had counted an attempt."""
    return sum(not one.had_asked for one in mishaps)


@dataclass(slots=True)
class _SetAside:
    """What lay aside in the end."""

    dead: frozenset[str] = frozenset()
    unsure: frozenset[str] = frozenset()

    def read(self, queue: RetryQueue) -> None:
        self.dead = payment_keys(queue.dead_letters(), "dead_letters")
        self.unsure = payment_keys(queue.to_reconcile(), "to_reconcile")


def payment_keys(found: object, name: str) -> frozenset[str]:
    """What a user's function found, if it is keys.

    Args:
        found: What it returned.
        name: What the contract calls it.

    Raises:
        UsageError: If it is anything else.
    """
    if isinstance(found, str | bytes) or not hasattr(found, "__iter__"):
        raise UsageError(f"RetryQueue: {name} returns {found!r}, expected the keys of payments")
    keys = list(cast("Iterable[object]", found))
    wrong = [key for key in keys if not isinstance(key, str)]
    if wrong:
        raise UsageError(f"RetryQueue: {name} returns {wrong[0]!r} among its keys, expected text such as 'p1'")
    return frozenset(map(str, keys))
