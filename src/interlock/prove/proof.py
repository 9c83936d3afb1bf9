"""What a proof comes to: plain data, that travels between processes and is judged, told and kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.core.verdict import Verdict

if TYPE_CHECKING:
    from interlock.prove.effect import Effect, Step
    from interlock.prove.examine import Finding
    from interlock.prove.onward import Follows
    from interlock.prove.programs import Program


@dataclass(frozen=True, slots=True)
class Violation:
    """A schedule that breaks a contract.

    Attributes:
        broken: How.
        program: What was fixed in it: the provider's mood, the workers, the faults.
        choices: Who went on at each choice, by number.
        steps: What happened, in order.
        recovery_at: How many of the steps came before the worker that clears up.
        is_cleared_up: Whether that worker came at all: not if the others never came to their end.
    """

    broken: tuple[str, ...]
    program: Program
    choices: tuple[int, ...]
    steps: tuple[Step, ...]
    recovery_at: int
    is_cleared_up: bool = True

    @property
    def mood(self) -> str:
        """The provider's mood."""
        return self.program.mood


@dataclass(slots=True)
class Findings:
    """What the schedules of one program have shown.

    Attributes:
        schedules: How many were run.
        places: What was seen at each place: (worker, its n-th effect from 0).
        follows: What the worker could do at once after each of these effects; nothing, where it once could not go on.
        asks_history: Whether an invariant has asked for what happened, so that it may tell apart what comes to the same.
        struck: In how many of them a fault has struck.
        violation: The first schedule that broke the contract, and the last that was run.
        lost: Why the program says nothing, if control was lost.
        is_cut: Whether the time was over before all was run.
        is_partial: Whether there is more than was to be run.
        sources: The files that were loaded, of the project's and others'.
        notes: What people should know of, though it breaks nothing.
        awaited: What must happen in some schedule: what is told if it never does, and what to do then.
        happened: What of it has.
    """

    schedules: int = 0
    places: dict[tuple[int, int], dict[Effect, None]] = field(default_factory=dict[tuple[int, int], "dict[Effect, None]"])
    follows: Follows = field(default_factory=dict[tuple[int, int], "frozenset[tuple[int, int]] | None"])
    asks_history: bool = False
    struck: int = 0
    violation: Violation | None = None
    lost: str = ""
    is_cut: bool = False
    is_partial: bool = False
    sources: frozenset[str] = frozenset()
    notes: set[str] = field(default_factory=set[str])
    awaited: dict[str, str] = field(default_factory=dict[str, str])
    happened: set[str] = field(default_factory=set[str])

    @property
    def is_end(self) -> bool:
        """Whether nothing after it in the order of programs counts."""
        return self.violation is not None or bool(self.lost) or self.is_cut


@dataclass(slots=True)
class Proof:
    """What a contract's schedules have shown.

    Attributes:
        contract: Its name.
        verdict: pass if every schedule within the bounds was run and none broke it.
        schedules: How many were run.
        placements: In how many ways faults were placed.
        unused: In how many of these none has struck, because what it was placed at did not come.
        bounds: What was tried completely, for people.
        samples: What was tried in part, for people.
        notes: What people should know of, though it breaks nothing.
        seconds: How long it took.
        violation: The first schedule that broke it; made as small as it gets.
        finding: What is known of that schedule.
        replay: The file that it was kept in, if it was.
        reason: Why the answer is unknown.
        sources: The files that were run: what it is evidence about.
    """

    contract: str
    verdict: Verdict = Verdict.UNKNOWN
    schedules: int = 0
    placements: int = 0
    unused: int = 0
    bounds: list[str] = field(default_factory=list[str])
    samples: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])
    seconds: float = 0.0
    violation: Violation | None = None
    finding: Finding | None = None
    replay: str = ""
    reason: str = ""
    sources: frozenset[str] = frozenset()
