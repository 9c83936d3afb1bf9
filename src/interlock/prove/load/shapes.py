"""How much load, and how it arrives: all at once, or at a rate for a time."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.errors import UsageError, nearest

FAULTS = ("restart", "reset", "lost reply")
SUCCESS_MIN = 0.95
STEADY_SHARE = 0.85  # Of the budget, for the calls of a steady load; the rest is for what is still to be done then.
LATE = 1.1  # A load that took so much longer than asked is another load.


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A load. Made by `burst` and `steady`.

    Attributes:
        calls: How many calls are made.
        over_s: In how many seconds they become due, evenly.
        is_real: Whether they are made in real time, or as fast as the machine can, each shown the time at which it is due.
        at_once: How many can be on their way at one time: threads, in all processes together.
        processes: How many processes make calls.
        workers: How many processes do the work meanwhile: what the contract runs.
        poll_every_s: How long a worker waits before it looks again.
        users: From how many users the calls come.
        repeats: Which share of the calls asks again for an earlier payment; None for a tenth, and for none where calls are no
            payments.
        success_min: Which share of the calls must come out right.
        faults: What goes wrong meanwhile: `restart`, `reset`, `lost reply`.
        seed: Of everything that is drawn.
    """

    calls: int
    over_s: float
    is_real: bool
    at_once: int
    processes: int = 2
    workers: int = 2
    poll_every_s: float = 0.1
    users: int = 400
    repeats: float | None = None
    success_min: float = SUCCESS_MIN
    faults: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("calls", "at_once", "processes", "workers", "users"):
            if getattr(self, name) < 1:
                raise UsageError(f"a load: found {name}={getattr(self, name)}, expected at least 1")
        if self.over_s < 0 or self.poll_every_s <= 0:
            raise UsageError("a load: found a time below zero, expected seconds")
        for name in ("repeats", "success_min"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise UsageError(f"a load: found {name}={share}, expected a share between 0 and 1")
        for fault in self.faults:
            if fault not in FAULTS:
                raise UsageError(f"a load: no fault that can strike it: {fault!r}; {nearest(fault, FAULTS)}")

    @property
    def name(self) -> str:
        """What it is, for people."""
        if not self.is_real:
            return f"steady: {self.calls / self.over_s:g} a second for {self.over_s:g} s"
        within = f" within {self.over_s * 1000:g} ms" if self.over_s else " at once"
        by = f", {self.at_once:,} on their way at most" if self.at_once < self.calls else ""
        return f"burst: {self.calls:,} calls{within}{by}"

    @property
    def threads(self) -> int:
        """How many threads each process has for its calls."""
        return -(-self.at_once // self.processes)

    def due_s(self, call: int) -> float:
        """When a call is due, from the beginning."""
        return self.over_s * call / self.calls


def burst(calls: int, *, within_ms: float = 0.0, at_once: int | None = None, **options: object) -> Shape:
    """So many calls at once, in real time.

    Args:
        calls: How many.
        within_ms: In how many milliseconds they become due; all at the same moment, unless told otherwise.
        at_once: How many can be on their way at one time; 200 at most, unless told otherwise.
        options: `processes`, `workers`, `poll_every_s`, `users`, `repeats`, `success_min`, `faults`, `seed`: see `Shape`.

    Raises:
        UsageError: If a figure makes no sense, or there is no such option.
    """
    return _shape(options, calls=calls, over_s=within_ms / 1000, is_real=True, at_once=at_once or min(calls, 200))


def steady(per_s: float, *, for_s: float, at_once: int = 16, **options: object) -> Shape:
    """So many calls a second for a time that is shown to them: every one is made, as fast as the machine can.

    Args:
        per_s: How many a second.
        for_s: For how many seconds of the time that is shown; 3600 is an hour.
        at_once: How many can be on their way at one time.
        options: As for `burst`.

    Raises:
        UsageError: As `burst`.
    """
    if per_s <= 0 or for_s <= 0:
        raise UsageError(f"steady: found per_s={per_s} and for_s={for_s}, expected more than 0")
    calls = max(1, round(per_s * for_s))
    return _shape(options, calls=calls, over_s=calls / per_s, is_real=False, at_once=at_once)


_OPTIONS = ("processes", "workers", "poll_every_s", "users", "repeats", "success_min", "faults", "seed")


def _shape(options: dict[str, object], **figures: object) -> Shape:
    for name in options:
        if name not in _OPTIONS:
            raise UsageError(f"a load has no {name!r}; {nearest(name, _OPTIONS)}")
    return Shape(**figures, **options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - looked at above.
