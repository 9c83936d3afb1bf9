"""A worker at work, in one loop: three kinds of tasks that share what the worker holds.

    claim    asks for payments while there is room, and sleeps exactly until something is due or a lease ends
    charge   takes one payment after the other; there are as many of these tasks as payments may be charged at a time
    extend   keeps the leases of what is being charged alive, and gives back what has waited too long for its turn

Verdicts go to the server as they come, many in one call, while the next payments are being charged.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
import uuid
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from retryqueue import protocol
from retryqueue.cancellation import cancelled, heeded
from retryqueue.card_numbers import safe_reason
from retryqueue.coalescing import TaskCoalescer
from retryqueue.conversation import Patience
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
# How long a claim waits for a shard that does not answer, and how long that one is then left alone.
CLAIM_PATIENCE_S = 1.0
AWAY_S = 0.5
# A charge that takes longer than this many leases is given up on: its lease ends, and somebody else asks the provider.
MOST_LEASES = 20


@dataclass(slots=True, eq=False)
class Held:
    """A payment in this worker's hands.

    Attributes:
        lease: Its lease.
        shard: Where it lies.
        begin_by_s: Until when it may be begun, on this machine's clock: not much later than half its lease, lest the lease
            ends before the charge does, and not after its deadline.
        begun: Whether it is being charged, or was.
        leases: How often its lease was extended; three times in each lease.
        over: Whether its verdict is on its way.
    """

    lease: Lease
    shard: Shard
    begin_by_s: float
    begun: bool = False
    leases: int = 0
    over: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """How a worker works; see `Worker`."""

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

    Attributes:
        name: How the server knows this worker.
    """

    def __init__(
        self,
        settings: Settings,
        server: AsyncServer,
        operations: Operations,
        shards: Sequence[Shard],
        charge: Callable[[Lease], Awaitable[Outcome]],
    ) -> None:
        # Another one for each shift: who had the name of a worker that was forked would be given what that one holds.
        self.name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._settings = settings
        self._policy = settings.policy
        self._server = server
        self._operations = operations
        self._charge = charge
        self._held: set[Held] = set()
        self._waiting: asyncio.Queue[Held | None] = asyncio.Queue()
        self._asking_at_s = dict.fromkeys(shards, 0.0)
        self._numbers = dict.fromkeys(shards, 1)
        self._claims: dict[Shard, tuple[int, asyncio.Task[None]]] = {}
        self._away: set[Shard] = set()
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._senders: dict[tuple[Shard, str], TaskCoalescer[Verdict, Settled]] = {}
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work(self) -> None:
        """Works until `stop`, and leaves nothing in hand."""
        chargers = [self._charge_all() for _ in range(self._settings.concurrency)]
        tasks = [asyncio.create_task(task) for task in (self._extend(), self._listen(), self._claim_all(), *chargers)]
        finished = asyncio.gather(*tasks[2:])
        ending: list[asyncio.Future[Any]] = [finished, self._failure, *tasks[:2]]
        try:
            for ended in (await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED))[0]:
                ended.result()  # Raises what has ended it.
            for sender in self._senders.values():
                await sender.finish()
            if self._failure.done():
                self._failure.result()
        finally:
            await cancelled([*ending, *tasks, *(task for _, task in self._claims.values())])
            for sender in self._senders.values():
                await sender.give_up()

    def stop(self) -> None:
        """Claims nothing more, and waits for an absent server no longer than a lease lasts. Called in the loop."""
        self._is_stopping = True
        self._operations.patience.seconds = self._policy.lease_ms / 1000
        self._wake.set()

    async def _claim_all(self) -> None:
        while not self._is_stopping:
            free = [shard for shard in self._asking_at_s if shard not in self._claims]
            shard = min(free, key=self._asking_at_s.__getitem__, default=None)
            rest_s = self._settings.breaker.rest_s
            if shard is not None:
                rest_s = max(rest_s, self._asking_at_s[shard] - time.monotonic())
            room = self._room(shard) if shard is not None else 0
            if shard is not None and room and rest_s <= 0:
                self._claims[shard] = (room, asyncio.create_task(self._claim_from(shard, room)))
            else:
                await self._sleep(rest_s if room or rest_s > 0 else LONGEST_SLEEP_S)
        await asyncio.gather(*(task for _, task in self._claims.values()))
        self._give_back([held for held in self._held if not held.begun])
        for _ in range(self._settings.concurrency):
            self._waiting.put_nowait(None)

    def _room(self, shard: Shard) -> int:
        """How many payments to ask for. None before half of those ahead are used up: a call for each would be slow.

        A shard that is away is asked for one, and what waits to be told to it takes no room: the others go on meanwhile.
        """
        settings = self._settings
        if self._waiting.qsize() > settings.prefetch // 2:
            return 0
        held = sum(not (held.over and held.shard in self._away) for held in self._held) if self._away else len(self._held)
        asked = sum(room for room, _ in self._claims.values())
        room = min(
            settings.concurrency + settings.prefetch - held - asked, settings.breaker.allowed(held + asked), MOST_PER_CALL
        )
        return max(0, int(min(room, 1) if shard in self._away else room))

    async def _sleep(self, seconds: float) -> None:
        """Sleeps until something may be due, or something has happened."""
        timeout_s = min(max(seconds, 0.001), LONGEST_SLEEP_S)
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _claim_from(self, shard: Shard, room: int) -> None:
        """Claims from one shard, for a while; one that does not answer is asked again later, and meanwhile the others are."""
        try:
            await self._claim(shard, room)
            self._away.discard(shard)
        except QueueUnavailable as error:
            if shard not in self._away and not self._is_stopping:
                logger.warning("no answer to a claim, asking again: %s", error)
            self._away.add(shard)
            self._asking_at_s[shard] = time.monotonic() + AWAY_S
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the worker.
            if not self._failure.done():
                self._failure.set_exception(error)
        finally:
            del self._claims[shard]
            self._wake.set()

    async def _claim(self, shard: Shard, room: int) -> None:
        began_s = time.monotonic()
        self._asking_at_s[shard] = began_s + LONGEST_SLEEP_S  # A message that comes meanwhile brings this forward.
        # The number stays the same until there is an answer: what a lost one has given is given again.
        call = protocol.claim(shard, self._policy, self.name, str(self._numbers[shard]), room)
        claim = await self._ask(call, Patience(CLAIM_PATIENCE_S))
        self._numbers[shard] += 1
        self._take(shard, claim, began_s)
        if claim.unreadable:
            names = ", ".join(safe_reason(key) for key, _, _ in claim.unreadable)
            logger.error("set aside, because they cannot be read: %s", names)
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
            if self._is_stopping or self._is_stale(held) or self._is_held_up():
                self._give_back([held])
            else:
                await heeded(self._charge_one(held))  # The charge function may have swallowed its cancellation.

    async def _charge_one(self, held: Held) -> None:
        held.begun = True
        began_s = time.perf_counter()
        outcome = await self._charge(held.lease)
        self._heard(outcome, held.lease, time.perf_counter() - began_s)
        self._tell(held, verdict(held.lease, outcome, self._policy, self._settings.chance))

    def _heard(self, outcome: Outcome, lease: Lease, seconds: float) -> None:
        kind = _kind(outcome)
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
        if not isinstance(outcome, (Succeeded, Declined, Ambiguous)):  # pyright: ignore[reportUnnecessaryIsInstance] - people err.
            level, ending = logging.ERROR, ": the charge function returned no outcome"
        elif isinstance(outcome, (Declined, Ambiguous)):
            ending = f": {_reason(outcome)}"
            if lease.attempt >= lease.limit or (isinstance(outcome, Declined) and outcome.final):
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
                if held.begun and held.leases < MOST_LEASES * 3:
                    held.leases += 1
                    by_shard[held.shard].append(held)
            await asyncio.gather(*(self._extend_all(begun) for begun in by_shard.values()))

    async def _extend_all(self, begun: Sequence[Held]) -> None:
        """Extends the leases of one shard. One that is away is not waited for longer than until the next time."""
        with suppress(QueueUnavailable):
            for start in range(0, len(begun), MOST_PER_CALL):
                await self._extend_some(begun[0].shard, begun[start : start + MOST_PER_CALL])

    async def _extend_some(self, shard: Shard, begun: Sequence[Held]) -> None:
        call = protocol.extend(shard, self._policy, [held.lease for held in begun])
        answers = await self._ask(call, Patience(self._policy.lease_ms / 3000))
        lost = [held.lease.key for held, answer in zip(begun, answers, strict=True) if answer == "lost" and not held.over]
        if lost:
            logger.warning("leases lost while charging: %s", ", ".join(lost))
            tell(self._settings.hook, LeasesLost(len(lost)))

    async def _listen(self) -> None:
        await listen(self._server.client, list(self._asking_at_s), self._something_is_due)

    def _something_is_due(self, shard: Shard) -> None:
        self._asking_at_s[shard] = 0.0
        self._wake.set()

    async def _ask(self, call: Call[T], patience: Patience | None = None) -> T:
        return await self._server.carry(self._operations.ask(call, patience))


def _reason(outcome: object) -> str:
    return safe_reason(getattr(outcome, "reason", outcome))


def _facts(told: Verdict) -> tuple[str, int, str, str]:
    """A verdict in the log. A charge's reference is named: it helps whoever has to look for the money."""
    reference = f", charged as {safe_reason(told.facts[0])}," if told.transition == "succeed" else ""
    return told.transition, told.lease.attempt, told.lease.key, reference


def _kind(outcome: object) -> Literal["succeeded", "declined", "ambiguous"]:
    if isinstance(outcome, Succeeded):
        return "succeeded"
    return "declined" if isinstance(outcome, Declined) else "ambiguous"
