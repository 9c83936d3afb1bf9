"""A worker at work, in one loop: three kinds of tasks that share what the worker holds.

    claim    asks for payments while there is room, and sleeps exactly until something is due or a lease ends
    charge   takes one payment after the other; there are as many of these tasks as payments may be charged at a time
    extend   keeps the leases of what is being charged alive, and gives back what has waited too long for its turn

Verdicts go to the server as they come, many in one call, while the next payments are being charged.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from retryqueue import protocol
from retryqueue.card_numbers import safe_reason
from retryqueue.coalescing import TaskCoalescer
from retryqueue.errors import QueueUnavailable
from retryqueue.events import Attempted, BreakerMoved, Claimed, LeasesLost, Told, tell
from retryqueue.outcome import Ambiguous, Declined, Succeeded
from retryqueue.protocol import MOST_PER_CALL, Verdict
from retryqueue.settlement import verdict
from retryqueue.wakeup import listen

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Sequence

    from retryqueue.breaker import Breaker
    from retryqueue.events import Hook
    from retryqueue.operations import Operations
    from retryqueue.outcome import Outcome
    from retryqueue.policy import Policy
    from retryqueue.protocol import Call, Settled
    from retryqueue.server import AsyncServer
    from retryqueue.shards import Shard
    from retryqueue.states import Claim, Lease

T = TypeVar("T")
logger = logging.getLogger("retryqueue")

# Asks at least this often, should a message and the end of its connection both go unheard.
LONGEST_SLEEP_S = 5.0


@dataclass(slots=True, eq=False)
class Held:
    """A payment in this worker's hands.

    Attributes:
        lease: Its lease.
        shard: Where it lies.
        begin_by_s: Until when it may be begun, on this machine's clock: not much later than half its lease, lest the lease
            ends before the charge does, and not after its deadline.
        begun: Whether it is being charged, or was.
        over: Whether its verdict is on its way.
    """

    lease: Lease
    shard: Shard
    begin_by_s: float
    begun: bool = False
    over: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """How a worker works; see `Worker`."""

    name: str
    policy: Policy
    concurrency: int
    prefetch: int
    breaker: Breaker
    hook: Hook | None
    chance: random.Random


class Shift:
    """What one worker holds and does between `serve` and `stop`.

    Args:
        settings: The worker's.
        server: Where the queue lies.
        operations: The queue.
        shards: Its shards.
        charge: Charges a payment; never raises.
    """

    def __init__(
        self,
        settings: Settings,
        server: AsyncServer,
        operations: Operations,
        shards: Sequence[Shard],
        charge: Callable[[Lease], Awaitable[Outcome]],
    ) -> None:
        self._settings = settings
        self._policy = settings.policy
        self._server = server
        self._operations = operations
        self._charge = charge
        self._held: set[Held] = set()
        self._waiting: asyncio.Queue[Held | None] = asyncio.Queue()
        self._asking_at_s = dict.fromkeys(shards, 0.0)
        self._claims = 0
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._senders: dict[tuple[Shard, str], TaskCoalescer[Verdict, Settled]] = {}
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work(self) -> None:
        """Works until `stop`, and leaves nothing in hand."""
        background = [asyncio.create_task(task) for task in (self._extend(), self._listen())]
        chargers = [self._charge_all() for _ in range(self._settings.concurrency)]
        finished = asyncio.gather(self._claim_all(), *chargers)
        ending: list[asyncio.Future[Any]] = [finished, self._failure, *background]
        try:
            for ended in (await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED))[0]:
                ended.result()  # Raises what has ended it.
            for sender in self._senders.values():
                await sender.finish()
            if self._failure.done():
                self._failure.result()
        finally:
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    def stop(self) -> None:
        """Claims nothing more, and waits for an absent server no longer than a lease lasts. Called in the loop."""
        self._is_stopping = True
        self._operations.patience.seconds = self._policy.lease_ms / 1000
        self._wake.set()

    async def _claim_all(self) -> None:
        while not self._is_stopping:
            shard = min(self._asking_at_s, key=self._asking_at_s.__getitem__)
            rest_s = max(self._asking_at_s[shard] - time.monotonic(), self._settings.breaker.rest_s)
            room = self._room()
            if room and rest_s <= 0:
                await self._claim_unless_stopped(shard, room)
            else:
                await self._sleep(rest_s if room or rest_s > 0 else LONGEST_SLEEP_S)
        self._give_back([held for held in self._held if not held.begun])
        for _ in range(self._settings.concurrency):
            self._waiting.put_nowait(None)

    def _room(self) -> int:
        """How many payments to ask for. None before half of those ahead are used up: a call for each would be slow."""
        settings = self._settings
        if self._waiting.qsize() > settings.prefetch // 2:
            return 0
        room = settings.concurrency + settings.prefetch - len(self._held)
        return int(min(room, settings.breaker.allowed(len(self._held)), MOST_PER_CALL))

    async def _sleep(self, seconds: float) -> None:
        """Sleeps until something may be due, or something has happened."""
        timeout_s = min(max(seconds, 0.001), LONGEST_SLEEP_S)
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _claim_unless_stopped(self, shard: Shard, room: int) -> None:
        """Claims; a worker that is told to stop does not wait for a server that is away."""
        try:
            await self._claim(shard, room)
        except QueueUnavailable:
            if not self._is_stopping:
                raise

    async def _claim(self, shard: Shard, room: int) -> None:
        self._claims += 1
        began_s = time.monotonic()
        self._asking_at_s[shard] = began_s + LONGEST_SLEEP_S  # A message that comes meanwhile brings this forward.
        claim = await self._ask(protocol.claim(shard, self._policy, self._settings.name, str(self._claims), room))
        self._take(shard, claim, began_s)
        if claim.unreadable:
            logger.error("set aside, because they cannot be read: %s", ", ".join(key for key, _, _ in claim.unreadable))
            await self._ask(protocol.quarantine(shard, claim.unreadable))

    def _take(self, shard: Shard, claim: Claim, began_s: float) -> None:
        for lease in claim.leases:
            rest_ms = self._policy.lease_ms / 2
            if lease.deadline_ms is not None:
                rest_ms = min(rest_ms, lease.deadline_ms - claim.now_ms)
            held = Held(lease, shard, began_s + rest_ms / 1000)
            self._held.add(held)
            self._waiting.put_nowait(held)
        if claim.next_in_ms is not None:
            asking_at_s = time.monotonic() + claim.next_in_ms / 1000
            self._asking_at_s[shard] = min(self._asking_at_s[shard], asking_at_s)
        if claim.leases:
            tell(self._settings.hook, Claimed(len(claim.leases)))

    async def _charge_all(self) -> None:
        while (held := await self._waiting.get()) is not None:
            if held.over:
                continue
            if self._is_stale(held) or self._is_held_up():
                self._give_back([held])
            else:
                await self._charge_one(held)

    async def _charge_one(self, held: Held) -> None:
        held.begun = True
        began_s = time.perf_counter()
        outcome = await self._charge(held.lease)
        self._heard(outcome, held.lease, time.perf_counter() - began_s)
        self._tell(held, verdict(held.lease, outcome, self._policy, self._settings.chance))

    def _heard(self, outcome: Outcome, lease: Lease, seconds: float) -> None:
        kind = _KINDS.get(type(outcome), "ambiguous")
        self._log(kind, outcome, lease)
        tell(self._settings.hook, Attempted(kind, lease.attempt, seconds * 1000))
        breaker = self._settings.breaker
        if breaker.heard(answered=kind != "ambiguous"):
            if breaker.is_open:
                logger.warning(
                    "no verdict from %d attempts in a row, the last: %s; claiming nothing for now",
                    breaker.after,
                    _reason(outcome),
                )
            else:
                logger.warning("the provider answers again")
            tell(self._settings.hook, BreakerMoved(breaker.is_open))
            self._wake.set()

    def _log(self, kind: str, outcome: Outcome, lease: Lease) -> None:
        """An attempt in the log; louder where no other one follows by itself, and where the charge function is at fault."""
        level, ending = logging.INFO, ""
        if type(outcome) not in _KINDS:
            level, ending = logging.ERROR, ": the charge function returned no outcome"
        elif isinstance(outcome, (Declined, Ambiguous)):
            ending = f": {_reason(outcome)}"
            if lease.attempt >= lease.limit or outcome == Declined(outcome.reason, final=True):
                level, ending = logging.WARNING, f"{ending}; no attempt follows"
        logger.log(level, "attempt %d of %s: %s%s", lease.attempt, lease.key, kind, ending)

    def _is_stale(self, held: Held) -> bool:
        """Whether it is too late to begin."""
        return time.monotonic() > held.begin_by_s

    def _is_held_up(self) -> bool:
        """Whether the breaker has opened since the payments in hand were claimed: they wait in the queue for the probe."""
        breaker = self._settings.breaker
        return breaker.is_open and not breaker.allowed(sum(held.begun and not held.over for held in self._held))

    def _give_back(self, unbegun: Sequence[Held]) -> None:
        for held in unbegun:
            if not held.over:
                self._tell(held, Verdict(held.lease, "release"))

    def _tell(self, held: Held, told: Verdict) -> None:
        """Sends a verdict on its way."""
        held.over = True
        sender = self._senders.get((held.shard, told.transition))
        if sender is None:
            sender = TaskCoalescer(partial(self._settle, held.shard, told.transition))
            self._senders[held.shard, told.transition] = sender
        sender.ask(told).add_done_callback(partial(self._told, held, told))

    def _settle(self, shard: Shard, transition: str, verdicts: Sequence[Verdict]) -> Awaitable[list[Settled]]:
        return self._ask(protocol.settle(shard, self._policy, transition, verdicts))

    def _told(self, held: Held, told: Verdict, answer: asyncio.Future[Settled]) -> None:
        self._held.discard(held)
        if self._waiting.qsize() <= self._settings.prefetch // 2:
            self._wake.set()
        if answer.cancelled():
            return
        if (error := answer.exception()) is not None:
            self._failed_to_tell(told, error)
            return
        tell(self._settings.hook, Told(told.transition, answer.result()))
        if answer.result() == "lost":
            logger.warning("%s of attempt %d of %s%s came too late: the lease is lost", *_facts(told))

    def _failed_to_tell(self, told: Verdict, error: BaseException) -> None:
        """A worker that stops leaves what it cannot tell to the next holder, who sends the same key; else it ends here."""
        if self._is_stopping and isinstance(error, QueueUnavailable):
            logger.error("%s of attempt %d of %s%s could not be told: %s", *_facts(told), error)
        elif not self._failure.done():
            self._failure.set_exception(error)

    async def _extend(self) -> None:
        while True:
            await asyncio.sleep(self._policy.lease_ms / 3000)
            self._give_back([held for held in self._held if not held.begun and self._is_stale(held)])
            by_shard: dict[Shard, list[Held]] = defaultdict(list)
            for held in self._held:
                if held.begun:
                    by_shard[held.shard].append(held)
            for shard, begun in by_shard.items():
                for start in range(0, len(begun), MOST_PER_CALL):
                    with suppress(QueueUnavailable):  # Only while stopping: otherwise it goes on trying.
                        await self._extend_some(shard, begun[start : start + MOST_PER_CALL])

    async def _extend_some(self, shard: Shard, begun: Sequence[Held]) -> None:
        answers = await self._ask(protocol.extend(shard, self._policy, [held.lease for held in begun]))
        lost = [held.lease.key for held, answer in zip(begun, answers, strict=True) if answer == "lost" and not held.over]
        if lost:
            logger.warning("leases lost while charging: %s", ", ".join(lost))
            tell(self._settings.hook, LeasesLost(len(lost)))

    async def _listen(self) -> None:
        await listen(self._server.client, list(self._asking_at_s), self._something_is_due)

    def _something_is_due(self, shard: Shard) -> None:
        self._asking_at_s[shard] = 0.0
        self._wake.set()

    async def _ask(self, call: Call[T]) -> T:
        return await self._server.carry(self._operations.ask(call))


def _reason(outcome: object) -> str:
    return safe_reason(getattr(outcome, "reason", outcome))


def _facts(told: Verdict) -> tuple[str, int, str, str]:
    """A verdict in the log. A charge's reference is named: it helps whoever has to look for the money."""
    reference = f", charged as {told.facts[0]}," if told.transition == "succeed" else ""
    return told.transition, told.lease.attempt, told.lease.key, reference


_KINDS: dict[type, Literal["succeeded", "declined", "ambiguous"]] = {
    Succeeded: "succeeded",
    Declined: "declined",
    Ambiguous: "ambiguous",
}
