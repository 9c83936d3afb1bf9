"""What a load is driven with: its processes, servers and clock, and the notes on what is seen of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from selectors import EVENT_READ, DefaultSelector
from typing import TYPE_CHECKING, Any, cast

from interlock.prove.load.accounts import Accounts
from interlock.prove.load.crew import Overdue
from interlock.prove.load.leaks import Open, Sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.load.accounts import Settled
    from interlock.prove.load.asks import Asks
    from interlock.prove.load.crew import Made, Member, Rested
    from interlock.prove.load.leaks import Calm
    from interlock.prove.load.servers import LoadedRedis, Services
    from interlock.prove.load.shapes import Shape
    from interlock.prove.load.timeline import Timeline

_TICK_S = 0.002
_PATIENCE_S = 0.05  # Where time stands still meanwhile, and nothing is to be done but to look how far it is.
_SAMPLE_EVERY_S = 0.1
_TOLD_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How far a load is.

    Attributes:
        stage: What is being done.
        calls: How many calls are over.
        planned: How many there are.
        left_s: How long it may still take.
    """

    stage: str
    calls: int
    planned: int
    left_s: float


@dataclass(slots=True)
class Seen:
    """What was seen of a load.

    Attributes:
        accounts: Of its calls.
        open: What was open meanwhile.
        covered_s: How much of its time was covered.
        made_in_s: In how much real time its calls were made.
        at_once: Of a steady load: how many calls were on their way at one time at most.
        work_errors: What workers ended in, and how often.
        unfinished: What was left when the time was over; nothing, if nothing was.
        is_given_up: Whether the load was not awaited any longer, though there was time left.
        settled: What became of the payments, if calls are payments.
        is_settled: Whether that is all of it, and not only what was certain when the time was over.
        rested: What the processes say of themselves in the end.
        calm: What further calls left open, that were made one after the other when all was over.
        empty_ms: Of a burst whose calls were begun late: within what time this machine begins as many that do nothing.
        restarts: How often the Redis was killed.
        failed: What went wrong in an answer of the contract's own.
        broken: Which invariants do not hold.
        never: What the contract says must have happened, and has not.
    """

    accounts: Accounts = field(default_factory=Accounts)
    open: Open = field(default_factory=Open)
    covered_s: float = 0.0
    made_in_s: float = 0.0
    at_once: int = 0
    work_errors: dict[str, int] = field(default_factory=dict[str, int])
    unfinished: str = ""
    is_given_up: bool = False
    settled: Settled | None = None
    is_settled: bool = False
    rested: list[Rested] = field(default_factory=list["Rested"])
    calm: Calm | None = None
    empty_ms: float | None = None
    restarts: int = 0
    failed: BaseException | None = None
    broken: list[str] = field(default_factory=list[str])
    never: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Scene:
    """The processes, the servers and the clock of a load.

    Attributes:
        shape: The load.
        asked: What the contract has the processes do.
        timeline: The clock.
        redis: The Redis.
        services: The provider, and what else answers over HTTP.
        members: The processes: first those that make calls, then those that work.
        ends_at_s: When all must be over, in monotonic time.
        told: Is called now and then with how far it is.
        seen: What is seen.
        stage: What is being done, for people; the load itself, if it is nothing else.
    """

    shape: Shape
    asked: Asks
    timeline: Timeline
    redis: LoadedRedis
    services: Services
    members: list[Member]
    ends_at_s: float
    told: Callable[[LoadProgress], None]
    seen: Seen = field(default_factory=Seen)
    stage: str = ""
    _sampled_at_s: float = 0.0
    _told_at_s: float = 0.0
    _answers: DefaultSelector = field(default_factory=DefaultSelector)

    def __post_init__(self) -> None:
        for member in self.members:
            self._answers.register(member.pipe, EVENT_READ, member)

    @property
    def callers(self) -> list[Member]:
        """The processes that make calls."""
        return self.members[: self.shape.processes]

    @property
    def workers(self) -> list[Member]:
        """The processes that work."""
        return self.members[self.shape.processes :]

    def show(self, now_s: float) -> None:
        """Shows a time to everybody."""
        self.timeline.jump(now_s)
        self.redis.show(now_s)

    def begin_work(self) -> None:
        """Has every worker work that is not doing so."""
        for member in self.workers:
            if not member.is_busy:
                member.tell("work", self.shape.is_real)

    def until_idle(self, until_s: float) -> None:
        """Waits until every process has answered.

        Raises:
            Overdue: If one has not by then, in monotonic time.
        """
        while any(member.is_busy for member in self.members):
            self.listen(None, until_s)

    def listen(self, start_s: float | None, until_s: float) -> None:
        """Takes what is answered within a moment; meanwhile time goes on for the server.

        Args:
            start_s: When the load began, in monotonic time, if its calls are made in real time.
            until_s: When it is too late, likewise.

        Raises:
            Overdue: If it is.
        """
        if time.monotonic() > until_s:
            raise Overdue
        does_time_go_on = self.shape.is_real or self.stage
        for key, _ in self._answers.select(_TICK_S if does_time_go_on else _PATIENCE_S):
            self._take(cast("Member", key.data).answer(until_s), start_s)
        if does_time_go_on:
            self.redis.show(self.timeline.shared_s)
        self.sample()
        self._tell()

    def _take(self, answer: Any, start_s: float | None) -> None:
        if isinstance(answer, list):
            self.seen.accounts.take(cast("list[Made]", answer), start_s)
        elif answer:
            self.seen.work_errors[answer] = self.seen.work_errors.get(answer, 0) + 1

    def sample(self, *, always: bool = False) -> None:
        """Counts what is open, if it was not just done."""
        now_s = time.monotonic()
        if always or now_s - self._sampled_at_s >= _SAMPLE_EVERY_S:
            self._sampled_at_s = now_s
            files = sum(member.files() for member in self.members)
            # The processes of a burst tell of their calls in the end: when the first has, those of the others are over too.
            is_on = self.shape.is_real and any(member.is_busy for member in self.callers)
            calls = 0 if is_on else self.seen.accounts.calls
            self.seen.open.samples.append(Sample(calls, self.redis.clients(), self.services.open, files))

    def _tell(self) -> None:
        now_s = time.monotonic()
        if now_s - self._told_at_s >= _TOLD_EVERY_S:
            self._told_at_s = now_s
            left_s = max(0.0, self.ends_at_s - now_s)
            self.told(LoadProgress(self.stage or self.shape.name, self.seen.accounts.calls, self.shape.calls, left_s))
