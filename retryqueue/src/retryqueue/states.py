"""What the queue answers: receipts, what it knows of one payment, and counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from retryqueue.payment import Payment


class State(StrEnum):
    """Where a payment is."""

    SCHEDULED = "scheduled"
    LEASED = "leased"
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    RECONCILE = "reconcile"
    QUARANTINED = "quarantined"

    @property
    def predicate(self) -> str:
        """The state as it follows "is" in a sentence."""
        return "in reconcile" if self is State.RECONCILE else self.value


Answer = Literal["new", "duplicate", "conflict"]


class Receipt(NamedTuple):
    """The answer to one enqueued payment.

    Attributes:
        key: The payment's key.
        answer: `new`; `duplicate`, if this payment was there already; `conflict`, if its key stands for another payment.
        state: The state of the payment that has the key.
        attempt: How many attempts it has had.
        reference: The provider's reference once it has succeeded, else empty.
    """

    key: str
    answer: Answer
    state: State
    attempt: int
    reference: str


@dataclass(frozen=True, slots=True)
class Lease:
    """One attempt to charge one payment, held by one worker.

    Attributes:
        payment: What to charge.
        attempt: 1 for the first; the fencing token, larger for each later holder.
        generation: 1 until the provider has declined; larger after each decline.
        enqueued_at_ms: When the payment was first enqueued, on the server's clock.
        is_first: Whether this is the first attempt under its provider key. If it is not, money may have moved, whatever a
            refusal says that the provider gives before it has looked the key up.
        limit: The attempt after which there is no other; 0 if it is not known. Grows when a payment is given back unbegun or
            requeued, so that neither costs an attempt.
        deadline_ms: When the attempt must have begun, on the server's clock; none if there is no deadline.
    """

    payment: Payment
    attempt: int
    generation: int
    enqueued_at_ms: int
    is_first: bool = False
    limit: int = 0
    deadline_ms: int | None = None

    @property
    def key(self) -> str:
        """The payment's key."""
        return self.payment.key

    @property
    def provider_key(self) -> str:
        """The idempotency key to send to the provider: the same for every attempt whose outcome is unknown."""
        return f"{self.payment.key}:{self.generation}"

    @property
    def token(self) -> str:
        """What its holder shows the server."""
        return token_of(self.attempt, self.enqueued_at_ms)


def token_of(attempt: int, enqueued_at_ms: int) -> str:
    """What the holder of an attempt shows: a key that is free again begins anew at attempt 1, at a later time."""
    return f"{attempt}@{enqueued_at_ms}"


@dataclass(frozen=True, slots=True)
class Item:
    """All that the queue knows of one payment.

    Attributes:
        key: The payment's key.
        state: Where it is.
        since_ms: When it is due (scheduled), when its lease ends (leased), when its key may be forgotten (succeeded), or
            since when it has been there; on the server's clock.
        attempt: How many attempts it has had, including one that is running.
        limit: The attempt after which there is no other.
        generation: The second half of the provider's idempotency key.
        enqueued_at_ms: When it was first enqueued, on the server's clock.
        deadline_ms: When the last attempt may begin, on the server's clock; none if there is no deadline.
        payment: What is charged; none once it has succeeded, and where it cannot be read.
        raw: The bytes as they were found, if it is quarantined.
        note: The provider's reference (succeeded), or why it is where it is.
        opened: The attempt that was first to send this generation's key; 0 while none was, as after each decline.
    """

    key: str
    state: State
    since_ms: int
    attempt: int
    limit: int
    generation: int
    enqueued_at_ms: int
    deadline_ms: int | None
    payment: Payment | None
    raw: bytes | None = field(repr=False)
    note: str
    opened: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Some payments of one state, and where the next page begins; none after the last."""

    items: tuple[Item, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a worker's claim.

    Attributes:
        now_ms: The server's time.
        leases: What it may charge now.
        unreadable: What it holds, but cannot read as a payment: key, token and reason.
        next_in_ms: How long until something is due or a lease ends; none if the shard is empty.
    """

    now_ms: float
    leases: tuple[Lease, ...]
    unreadable: tuple[tuple[str, str, str], ...]
    next_in_ms: float | None


@dataclass(frozen=True, slots=True)
class Status:
    """Counts of one shard, or of a whole queue.

    Attributes:
        now_ms: The server's time.
        paused: Whether workers are given nothing.
        counts: The number of payments in each state. Succeeded ones are counted as long as their keys live.
        next_due_ms: When the first scheduled payment is due, or was; none if none is scheduled.
        next_lease_end_ms: When the first lease ends; none if there is none.
        workers: When each worker last asked for work.
    """

    now_ms: int
    paused: bool
    counts: dict[State, int]
    next_due_ms: int | None
    next_lease_end_ms: int | None
    workers: dict[str, int]

    @property
    def lag_ms(self) -> int:
        """How long the first payment that is due has been waiting; 0 if none is due."""
        return max(0, self.now_ms - self.next_due_ms) if self.next_due_ms is not None else 0

    @classmethod
    def together(cls, shards: list[Status]) -> Status:
        """The status of a queue from those of its shards; there is at least one."""
        dues = [shard.next_due_ms for shard in shards if shard.next_due_ms is not None]
        ends = [shard.next_lease_end_ms for shard in shards if shard.next_lease_end_ms is not None]
        return cls(
            now_ms=max(shard.now_ms for shard in shards),
            paused=any(shard.paused for shard in shards),
            counts={state: sum(shard.counts[state] for shard in shards) for state in State},
            next_due_ms=min(dues, default=None),
            next_lease_end_ms=min(ends, default=None),
            workers=_latest([shard.workers for shard in shards]),
        )


def _latest(seen: list[dict[str, int]]) -> dict[str, int]:
    return {name: max(times.get(name, 0) for times in seen) for times in seen for name in times}
