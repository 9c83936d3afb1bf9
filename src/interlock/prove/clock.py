"""Virtual time for the module under proof: its sleeps take none, and its clock shows what has passed in the run.

`time` itself is changed, and every module that has taken a function out of it by name (`from time import sleep`).
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from interlock.prove.effect import Effect

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from interlock.prove.scheduler import Run

# When virtual time begins: a Thursday afternoon, on no boundary of a minute, hour or day.
EPOCH_S = 1_729_175_837.25

# What must go on telling real time: the guard's own waiting, and that of the test runner.
_REAL = ("interlock", "pytest", "_pytest", "threading", "subprocess", "selectors", "socket", "asyncio", "concurrent")


@contextmanager
def virtual_time(run: Callable[[], Run | None]) -> Generator[None]:
    """Shows the time of the current run for as long as it lasts; outside of a run, real time."""
    replaced = _replacements(run)
    changed = [
        (module, name, value)
        for module in list(sys.modules.values())
        if not module.__name__.startswith(_REAL)
        for name, value in list(vars(module).items())
        if callable(value) and id(value) in replaced
    ]
    for module, name, value in changed:
        setattr(module, name, replaced[id(value)])
    try:
        yield
    finally:
        for module, name, value in changed:
            setattr(module, name, value)


def _replacements(run: Callable[[], Run | None]) -> dict[int, Callable[..., object]]:
    """The functions of `time` by identity, and what stands in for each."""
    real = {name: getattr(time, name) for name in ("sleep", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter")}

    def shown(name: str, unit: float) -> Callable[[], float]:
        def now() -> float:
            current = run()
            return real[name]() if current is None else type(unit)((EPOCH_S + current.now_s) * unit)

        return now

    def sleep(seconds: float) -> None:
        current = run()
        if current is None:
            real["sleep"](seconds)
        else:
            current.wait(seconds, Effect("wait", f"sleep {seconds:g} s"))

    virtual: dict[str, Callable[..., object]] = {
        "sleep": sleep,
        "time": shown("time", 1.0),
        "monotonic": shown("monotonic", 1.0),
        "perf_counter": shown("perf_counter", 1.0),
        "time_ns": shown("time_ns", 10**9),
        "monotonic_ns": shown("monotonic_ns", 10**9),
    }
    return {id(real[name]): function for name, function in virtual.items()}
