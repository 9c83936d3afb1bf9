"""What a load comes to: plain data, that travels between processes and is told and kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Spread:
    """Of many values: the middle, the one that one in a hundred exceeds, and the largest."""

    p50: float = 0.0
    p99: float = 0.0
    most: float = 0.0

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of values in any order."""
        ordered = sorted(values)
        if not ordered:
            return cls()
        return cls(ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], ordered[-1])


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch of a load.

    Attributes:
        at_s: When it began.
        rate: How many calls a second were made in it.
        p50_ms: What half of them took at most.
        p99_ms: What all but one in a hundred took at most.
    """

    at_s: float
    rate: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Openness:
    """How many of a kind were open: before, at most, and when all had come to rest."""

    first: int = 0
    most: int = 0
    last: int = 0


@dataclass(slots=True)
class LoadResult:
    """What a contract under a load has shown.

    Attributes:
        contract: Its name.
        shape: The load.
        verdict: pass if all of it was made, and nothing broke the contract.
        seconds: How long it took.
        planned: How many calls there were to be.
        calls: How many were made.
        success: Which share of them came out right; None if nobody knows.
        success_min: Which share must.
        failures: What calls raised, and how often, the most frequent first.
        payments: How many payments were asked for; None where calls are no payments.
        collisions: How many payments shared a key with another one, and were dropped or charged for it.
        duplicates: How many were charged more than once.
        lost: How many were accepted, and neither charged nor set aside.
        set_aside: How many lie where people look.
        latency_ms: How long calls took since they were due, their wait for a free thread or a busy machine included.
        service_ms: How long they took since they were begun.
        late_s: How long after they were due payments were first tried.
        covered_s: How much of the load's time was covered.
        over_s: How much there was to cover.
        made_in_s: In how much real time the calls were made, and the work beside them.
        begun_within_ms: In how many milliseconds all calls of a burst were begun.
        at_once: How many calls were on their way at one time.
        connections: To Redis.
        services: Connections to the provider and other services.
        files: Of all processes.
        struck: How often something went wrong that was meant to.
        restarts: How often Redis was killed and came back.
        violations: What breaks the contract.
        notes: What people should know of, though it breaks nothing.
        reasons: Why the answer is unknown.
        moments: The course of it.
        sources: The files that were run.
    """

    contract: str
    shape: str
    verdict: Verdict = Verdict.UNKNOWN
    seconds: float = 0.0
    planned: int = 0
    calls: int = 0
    success: float | None = None
    success_min: float = 0.0
    failures: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    payments: int | None = None
    collisions: int = 0
    duplicates: int = 0
    lost: int = 0
    set_aside: int = 0
    latency_ms: Spread = Spread()
    service_ms: Spread = Spread()
    late_s: Spread = Spread()
    covered_s: float = 0.0
    over_s: float = 0.0
    made_in_s: float = 0.0
    begun_within_ms: float | None = None
    at_once: int = 0
    connections: Openness = Openness()
    services: Openness = Openness()
    files: Openness = Openness()
    struck: int = 0
    restarts: int = 0
    violations: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])
    reasons: list[str] = field(default_factory=list[str])
    moments: list[Moment] = field(default_factory=list[Moment])
    sources: frozenset[str] = frozenset()

    def decide(self) -> None:
        """The verdict follows from what was found: nothing that is not known passes."""
        if self.violations:
            self.verdict = Verdict.FAIL
        elif self.reasons:
            self.verdict = Verdict.UNKNOWN
        else:
            self.verdict = Verdict.PASS
