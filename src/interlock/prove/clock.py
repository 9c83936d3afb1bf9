"""Virtual time for the module under proof: its sleeps take none, and its clock shows what has passed in the run.

Whoever holds a function of `time` is given its stand-in for as long as proofs last: modules, classes, objects, defaults of
parameters. The stand-ins are the same for every proof of the process, so that a module imported during one of them follows the
next one too. Outside of a run, and for every thread but the run's own, they tell real time.

`datetime` is changed in its type, not replaced by a type of ours: what asks whether `type(x) is datetime` goes on working.
time-machine does that too, for one time that the whole process shares; here each worker may have a clock of its own.
"""

from __future__ import annotations

import ctypes
import gc
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Protocol, cast

from interlock.prove.effect import Effect
from interlock.prove.holders import put_in_place_of
from interlock.prove.waiting import virtual_waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from datetime import tzinfo

    from interlock.prove.scheduler import Run

# When virtual time begins: a Thursday afternoon, on no boundary of a minute, hour or day.
EPOCH_S = 1_729_175_837.25

# What the monotonic clock shows then: its origin is another one, as on every machine, so that mixing the two up shows.
UPTIME_S = 7_321.5

_NS = 10**9
_WALL_CLOCKS = frozenset({time.CLOCK_REALTIME, getattr(time, "CLOCK_REALTIME_COARSE", 5)})
_STEADY_CLOCKS = frozenset({time.CLOCK_MONOTONIC, getattr(time, "CLOCK_BOOTTIME", 7), getattr(time, "CLOCK_MONOTONIC_RAW", 4)})


class Ahead(Protocol):
    """Whoever may have a wall clock that is ahead."""

    ahead_s: float


class Shown(Protocol):
    """What tells the time that is shown: a schedule, or a load."""

    @property
    def is_here(self) -> bool:
        """Whether the caller is to be shown it."""
        ...

    @property
    def now_s(self) -> float:
        """What has passed."""
        ...

    def here(self) -> Ahead | None:
        """Who asks, if it matters."""
        ...

    def grant(self, seconds: float, *, sleeps: bool = False) -> None:
        """Notes for how long somebody is going to sleep."""
        ...

    def wait(self, seconds: float, effect: Effect) -> object:
        """Sleeps."""
        ...


def _nothing_shown() -> Shown | None:
    return None


_current: Callable[[], Shown | None] = _nothing_shown


@contextmanager
def virtual_time(run: Callable[[], Run | None]) -> Generator[None]:
    """Shows the time of the current run for as long as it lasts; outside of a run, real time."""
    with _shown(run, _STAND_INS), virtual_waiting(run):
        yield


@contextmanager
def wall_clock(shown: Callable[[], Shown]) -> Generator[None]:
    """Shows another wall clock for as long as it lasts, and lets it sleep; clocks that nobody can set stay real."""
    with _shown(shown, _WALL_STAND_INS):
        yield


@contextmanager
def _shown(current: Callable[[], Shown | None], stand_ins: dict[object, object]) -> Generator[None]:
    global _current  # noqa: PLW0603 - the stand-ins outlive a proof, and follow whichever is on.
    before, _current = _current, current
    try:
        with put_in_place_of(stand_ins), _virtual_dates():
            yield
    finally:
        _current = before


def wall_s(run: Shown) -> float:
    """What the wall clock of the worker that is running shows: it may run ahead of the others'."""
    worker = run.here()
    return EPOCH_S + run.now_s + (worker.ahead_s if worker else 0.0)


def steady_s(run: Shown) -> float:
    """What a clock shows that nobody can set."""
    return UPTIME_S + run.now_s


@dataclass(frozen=True, slots=True, eq=False)
class _StandIn:
    """What is called instead of a function of `time`. It binds to no object, as a built-in function does not."""

    real: Callable[..., object]
    virtual: Callable[..., object]

    def __call__(self, *args: Any) -> Any:
        run = _current()
        if run is None or not run.is_here:
            return self.real(*args)
        return self.virtual(run, *args)


def _slept(run: Shown, seconds: float) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    run.grant(seconds, sleeps=True)
    run.wait(seconds, Effect("wait", f"sleep {seconds:g} s"))


def _clock(real: Callable[..., object], unit: float) -> Callable[..., object]:
    def shown(run: Shown, clock: int) -> object:
        if clock in _WALL_CLOCKS:
            return type(unit)(wall_s(run) * unit)
        return type(unit)(steady_s(run) * unit) if clock in _STEADY_CLOCKS else real(clock)

    return shown


def _of_seconds(real: Callable[..., object]) -> Callable[..., object]:
    def shown(run: Shown, seconds: float | None = None) -> object:
        return real(wall_s(run) if seconds is None else seconds)

    return shown


def _of_fields(real: Callable[..., object], *, before: int) -> Callable[..., object]:
    """A function that takes the fields of a time last, and those of the current one by default."""
    fields_of = time.localtime

    def shown(run: Shown, *args: Any) -> object:
        return real(*args) if len(args) > before else real(*args, fields_of(wall_s(run)))

    return shown


def _in_ns(seconds: Callable[[Shown], float]) -> Callable[[Shown], int]:
    return lambda run: int(seconds(run) * _NS)


_VIRTUAL: dict[Callable[..., object], Callable[..., object]] = {
    time.time: wall_s,
    time.time_ns: _in_ns(wall_s),
    time.monotonic: steady_s,
    time.monotonic_ns: _in_ns(steady_s),
    time.perf_counter: steady_s,
    time.perf_counter_ns: _in_ns(steady_s),
    time.sleep: _slept,
    time.clock_gettime: _clock(time.clock_gettime, 1.0),
    time.clock_gettime_ns: _clock(time.clock_gettime_ns, _NS),
    time.localtime: _of_seconds(time.localtime),
    time.gmtime: _of_seconds(time.gmtime),
    time.ctime: _of_seconds(time.ctime),
    time.asctime: _of_fields(time.asctime, before=0),
    time.strftime: _of_fields(time.strftime, before=1),
}
_STAND_INS: dict[object, object] = {real: _StandIn(real, virtual) for real, virtual in _VIRTUAL.items()}
_UNSETTABLE = (time.monotonic, time.monotonic_ns, time.perf_counter, time.perf_counter_ns)
_WALL_STAND_INS: dict[object, object] = {
    real: stand_in
    for real, stand_in in _STAND_INS.items()
    if real not in {*_UNSETTABLE, time.clock_gettime, time.clock_gettime_ns}
}


@contextmanager
def _virtual_dates() -> Generator[None]:
    """Changes what `now`, `utcnow` and `today` say, in the types that everybody has got hold of already."""
    changed = [
        (kind, name, cast("dict[str, Any]", gc.get_referents(kind.__dict__)[0]), method)
        for kind, name, method in ((datetime, "now", _now), (datetime, "utcnow", _utcnow), (date, "today", _today))
    ]
    before = [namespace[name] for _, name, namespace, _ in changed]
    for (kind, name, namespace, method), real in zip(changed, before, strict=True):
        _set(kind, namespace, name, classmethod(method(real)))
    try:
        yield
    finally:
        for (kind, name, namespace, _), real in zip(changed, before, strict=True):
            _set(kind, namespace, name, real)


def _set(kind: type, namespace: dict[str, Any], name: str, value: object) -> None:
    namespace[name] = value
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))


def _now(real: Any) -> Callable[..., object]:
    def now(cls: type[datetime], tz: tzinfo | None = None) -> datetime:
        run = _current()
        if run is None or not run.is_here:
            return cast("datetime", real.__get__(None, cls)(tz))
        return cls.fromtimestamp(wall_s(run), tz)

    return now


def _utcnow(real: Any) -> Callable[..., object]:
    def utcnow(cls: type[datetime]) -> datetime:
        run = _current()
        if run is None or not run.is_here:
            return cast("datetime", real.__get__(None, cls)())
        return cls.fromtimestamp(wall_s(run), UTC).replace(tzinfo=None)

    return utcnow


def _today(real: Any) -> Callable[..., object]:
    def today(cls: type[date]) -> date:
        run = _current()
        return cast("date", real.__get__(None, cls)()) if run is None or not run.is_here else cls.fromtimestamp(wall_s(run))

    return today
