"""What can be asked of a queue, as talks with its server: written once for blocking and for asyncio code."""

from __future__ import annotations

import os
import time
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, TypeVar

from retryqueue import protocol, scripts
from retryqueue.conversation import Dialect, Patience, Wait, asked, command, dangers, opened, patient
from retryqueue.errors import InvalidPayment, PaymentConflict, WrongState
from retryqueue.events import Enqueued, tell
from retryqueue.protocol import MOST_PER_CALL, Entry
from retryqueue.shards import Shard, shard_of
from retryqueue.states import Page, State, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from retryqueue.conversation import Dangers, Durability, Talk
    from retryqueue.events import Hook
    from retryqueue.payment import Payment
    from retryqueue.policy import Policy
    from retryqueue.protocol import Call
    from retryqueue.states import Item, Receipt

T = TypeVar("T")

CLUSTER_SHARDS = 16
LONGEST_NAME = 64
OPENING_WAIT_S = 0.001
LONGEST_OPENING_WAIT_S = 0.05


class Operations:
    """The talks of one queue.

    Args:
        name: The queue's name.
        policy: Its numbers.
        shards: On how many shards it lies; none: 1, 16 on a cluster, or what it was made with.
        clustered: Whether the server is a cluster.
        durability: What to do if the server does not keep what it accepts.
        patience_s: How long to wait for a server that restarts or fails over; none: for as long as it takes.
        hook: Is told what happens.
    """

    def __init__(
        self,
        *,
        name: str,
        policy: Policy,
        shards: int | None,
        clustered: bool,
        durability: Durability,
        patience_s: float | None,
        hook: Hook | None,
    ) -> None:
        _check_name(name)
        scripts.library()  # Read now: reading files for the first time in a child of a fork may wait for a lock for ever.
        self.name = name
        self.policy = policy
        self.hook = hook
        self._wanted_shards = shards
        self._default_shards = CLUSTER_SHARDS if clustered else 1
        self._durability: Durability = durability
        self.patience = Patience(patience_s)
        self._dialect: Dialect | None = None
        self._opener = 0  # The process in which somebody is opening the queue.

    def open(self) -> Talk[Dialect]:
        """How to talk to the server: found out once, at the first call, so that making a queue needs no server."""
        if self._dialect is None:
            patience = yield from self._wait_for_opener()
            self._opener = os.getpid()
            try:
                self._dialect = self._dialect or (yield from self._opened(patience))
            finally:
                self._opener = 0
        return self._dialect

    def _opened(self, patience: Patience) -> Talk[Dialect]:
        return patient(
            lambda: opened(self.name, self._wanted_shards, self._default_shards, self._durability),
            patience,
            "opening the queue",
        )

    def _wait_for_opener(self) -> Talk[Patience]:
        """Waits while another caller opens the queue, so that not a thousand of them ask; answers what patience is left."""
        began_s, wait_s = time.monotonic(), OPENING_WAIT_S
        # After a fork that caller is not here.
        while self._dialect is None and self._opener == os.getpid() and self.patience.left_s(began_s) > 0:
            yield Wait(wait_s)
            wait_s = min(LONGEST_OPENING_WAIT_S, wait_s * 1.5)
        return self.patience if self.patience.seconds is None else Patience(self.patience.left_s(began_s))

    def ask(self, call: Call[T], patience: Patience | None = None) -> Talk[T]:
        """Runs one script, with the queue's patience or another one."""
        dialect = yield from self.open()
        return (yield from asked(dialect, call, patience or self.patience))

    def command(self, call: Call[Any]) -> tuple[Any, ...]:
        """What runs a script on the server of a queue that is open."""
        return command(self._dialect or Dialect(), call)

    def shard(self, key: str) -> Talk[Shard]:
        """Where a payment lies."""
        dialect = yield from self.open()
        return Shard(self.name, shard_of(key, dialect.shards))

    def shards(self) -> Talk[list[Shard]]:
        """All shards."""
        dialect = yield from self.open()
        return [Shard(self.name, number) for number in range(dialect.shards)]

    def entries(self, payments: Iterable[Payment], delay_ms: int, deadline_ms: int | None) -> Iterator[Entry]:
        """The payments with their times, if they are ones; the payments are asked for one after the other.

        Raises:
            InvalidPayment: If the delay is longer than the policy allows, or the deadline not after it.
        """
        longest = self.policy.longest_delay_ms
        problems: list[str] = []
        if not _is_count(delay_ms) or not 0 <= delay_ms <= longest:
            problems.append(f"delay_ms must be a whole number from 0 to {longest} (longest_delay_ms), found {delay_ms!r}")
        elif deadline_ms is not None and not (
            _is_count(deadline_ms) and delay_ms < deadline_ms <= self.policy.retry_horizon_ms
        ):
            problems.append(
                f"deadline_ms must be a whole number above delay_ms of {delay_ms} and up to the retry horizon of "
                f"{self.policy.retry_horizon_ms}, found {deadline_ms!r}"
            )
        if problems:
            raise InvalidPayment(problems)
        return map(Entry, payments, repeat(delay_ms), repeat(deadline_ms))

    def worths(self, shards: Sequence[Shard], entries: Iterable[Entry]) -> Iterator[tuple[Sequence[int], Call[list[Receipt]]]]:
        """The calls that store payments, each as soon as there is a script's worth for it, and the places of their payments."""
        if len(shards) == 1:
            yield from self._worths_of_one(shards[0], iter(entries))
            return
        waiting: list[tuple[list[int], list[Entry]]] = [([], []) for _ in shards]
        for place, entry in enumerate(entries):
            number = shard_of(entry.payment.key, len(shards))
            places, batch = waiting[number]
            places.append(place)
            batch.append(entry)
            if len(batch) == MOST_PER_CALL:
                waiting[number] = ([], [])
                yield places, protocol.enqueue(shards[number], self.policy, batch)
        for shard, (places, batch) in zip(shards, waiting, strict=True):
            if batch:
                yield places, protocol.enqueue(shard, self.policy, batch)

    def _worths_of_one(self, shard: Shard, entries: Iterator[Entry]) -> Iterator[tuple[Sequence[int], Call[list[Receipt]]]]:
        start = 0
        while batch := list(islice(entries, MOST_PER_CALL)):
            yield range(start, start + len(batch)), protocol.enqueue(shard, self.policy, batch)
            start += len(batch)

    def enqueue(self, shard: Shard, entries: Sequence[Entry]) -> Talk[list[Receipt]]:
        """Stores a script's worth of payments of one shard."""
        return self.enqueued((yield from self.ask(protocol.enqueue(shard, self.policy, entries))))

    def enqueued(self, receipts: list[Receipt]) -> list[Receipt]:
        """Tells the hook of them."""
        if self.hook is not None:
            for receipt in receipts:
                tell(self.hook, Enqueued(receipt.answer))
        return receipts

    def hold(self, payments: Sequence[Payment], reason: str) -> Talk[list[Receipt]]:
        """Stores any number of payments for a person to decide about; answers each in its place."""
        answers: list[tuple[Sequence[int], list[Receipt]]] = []
        for shard, places in (yield from self.batches([payment.key for payment in payments])):
            call = protocol.hold(shard, [payments[place] for place in places], reason)
            answers.append((places, (yield from self.ask(call))))
        return in_place(answers)

    def refuse(self, name: str, raw: bytes, reason: str) -> Talk[bool]:
        """Puts foreign bytes into quarantine; tells whether they were not there yet."""
        shard = yield from self.shard(name)
        return bool((yield from self.ask(protocol.refuse(shard, [(name, raw, reason)]))))

    def inspect(self, key: str) -> Talk[Item | None]:
        """All that is known of a payment."""
        shard = yield from self.shard(key)
        return (yield from self.ask(protocol.inspect(shard, key)))

    def page(self, state: State, cursor: str) -> Talk[Page]:
        """Some of the payments in a state, and where to go on; the cursor of the first page is empty."""
        shards = yield from self.shards()
        number, _, place = (cursor or "0:0").partition(":")
        place, items = yield from self.ask(protocol.page(shards[int(number)], state, place))
        if place != "0":
            return Page(tuple(items), f"{number}:{place}")
        following = int(number) + 1
        return Page(tuple(items), f"{following}:0" if following < len(shards) else None)

    def status(self) -> Talk[Status]:
        """Counts of the whole queue."""
        counted: list[Status] = []
        for shard in (yield from self.shards()):
            counted.append((yield from self.ask(protocol.status(shard))))  # noqa: PERF401 - a talk is no comprehension.
        return Status.together(counted)

    def dangers(self) -> Talk[Dangers]:
        """How the server could lose payments."""
        return patient(dangers, self.patience, "asking how the server keeps what it accepts")

    def requeue(self, key: str) -> Talk[None]:
        """Schedules a dead payment again.

        Raises:
            WrongState: If it is not dead.
        """
        shard = yield from self.shard(key)
        _check_done(key, State.DEAD, (yield from self.ask(protocol.requeue(shard, self.policy, key))))

    def resolve(self, key: str, *, paid_as: str | None, not_paid: bool) -> Talk[None]:
        """Settles a payment in reconcile.

        Raises:
            WrongState: If it is in another state.
            ValueError: If not exactly one of the two is said.
        """
        if bool(paid_as) == not_paid:
            raise ValueError("say either paid_as, the provider's reference, or not_paid")
        shard = yield from self.shard(key)
        _check_done(key, State.RECONCILE, (yield from self.ask(protocol.resolve(shard, self.policy, key, paid_as))))

    def purge(self, key: str) -> Talk[None]:
        """Forgets a dead or quarantined payment.

        Raises:
            WrongState: If it is in another state.
        """
        shard = yield from self.shard(key)
        answer = (yield from self.ask(protocol.purge(shard, [key])))[0]
        if answer == "refused":
            item = yield from self.inspect(key)
            found = f"this one is {item.state.predicate}" if item else "this one is gone"
            raise WrongState(f"{key}: only dead and quarantined payments can be purged; {found}")

    def pause(self, *, paused: bool) -> Talk[None]:
        """Gives workers nothing more, or something again."""
        for shard in (yield from self.shards()):
            yield from self.ask(protocol.pause(shard, paused=paused))

    def batches(self, keys: Sequence[str]) -> Talk[list[tuple[Shard, Sequence[int]]]]:
        """The places of the keys, by shard and in scripts' worths."""
        shards = yield from self.shards()
        by_shard: dict[Shard, Sequence[int]] = {shards[0]: range(len(keys))}
        if len(shards) > 1:
            numbers = [shard_of(key, len(shards)) for key in keys]
            by_shard = {shard: [place for place, number in enumerate(numbers) if number == shard.number] for shard in shards}
        return [
            (shard, places[start : start + MOST_PER_CALL])
            for shard, places in by_shard.items()
            for start in range(0, len(places), MOST_PER_CALL)
        ]


def in_place(answers: Iterable[tuple[Sequence[int], Sequence[Receipt]]]) -> list[Receipt]:
    """The receipts of several batches, in the order in which their payments were given."""
    placed: dict[int, Receipt] = {}
    for places, receipts in answers:
        placed.update(zip(places, receipts, strict=True))
    return [placed[place] for place in range(len(placed))]


def accepted(receipt: Receipt) -> Receipt:
    """The receipt.

    Raises:
        PaymentConflict: If it says that the key stands for another payment.
    """
    if receipt.answer == "conflict":
        raise PaymentConflict(receipt.key, receipt.state)
    return receipt


def _check_name(name: str) -> None:
    if not 0 < len(name) <= LONGEST_NAME or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise ValueError(
            f"a queue's name is 1 to {LONGEST_NAME} letters, digits, dots, hyphens and underscores, found {name!r}"
        )


def _check_done(key: str, needed: State, decision: tuple[bool, str]) -> None:
    done, state = decision
    if not done:
        raise WrongState(
            f"{key}: it must be {needed.predicate} for this, and "
            + (f"is {State(state).predicate}" if state else "there is no such payment")
        )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
