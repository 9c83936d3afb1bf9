from __future__ import annotations

import asyncio
import datetime as dt
import importlib
import queue
import sched
import sys
import threading
import time
from datetime import UTC, date
from time import sleep
from typing import TYPE_CHECKING, Any

import pytest

from interlock.prove.clock import EPOCH_S, UPTIME_S, virtual_time
from interlock.prove.effect import Effect, Uncontrolled
from interlock.prove.scheduler import Run, Stuck

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from interlock.prove.worker import Worker


class Keeper:
    """Holds functions of `time` where a change of names in modules does not reach them."""

    steady: Any = time.monotonic
    wall = staticmethod(time.time)

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock


BEFORE = Keeper()


def first(ready: list[Worker]) -> Worker:
    return ready[0]


def seen_by_workers(*tasks: Callable[[], object], ahead_s: Sequence[float] = ()) -> tuple[list[Any], Run]:
    """What each task gives back when a worker runs it in virtual time."""
    run, seen = Run(first), list[Any]()
    with virtual_time(lambda: run):
        run.go([lambda task=task: seen.append(task()) for task in tasks], ahead_s=ahead_s)  # type: ignore[misc]
    for worker in run.workers:
        if worker.error is not None:
            raise worker.error
    return seen, run


def after(seconds: float, told: Callable[[], object]) -> Callable[[], object]:
    def task() -> object:
        sleep(seconds)
        return told()

    return task


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (lambda: time.time(), EPOCH_S + 90),
        (lambda: time.time_ns(), int((EPOCH_S + 90) * 10**9)),
        (lambda: time.monotonic(), UPTIME_S + 90),
        (lambda: time.perf_counter(), UPTIME_S + 90),
        (lambda: time.perf_counter_ns(), int((UPTIME_S + 90) * 10**9)),
        (lambda: time.clock_gettime(time.CLOCK_REALTIME), EPOCH_S + 90),
        (lambda: time.clock_gettime(time.CLOCK_MONOTONIC), UPTIME_S + 90),
        (lambda: time.strftime("%Y-%m-%d", time.gmtime()), "2024-10-17"),
        (lambda: time.strftime("%Y"), "2024"),
        (lambda: time.strftime("%Y", time.gmtime(0)), "1970"),
        (lambda: time.gmtime(0).tm_year, 1970),
        (lambda: time.ctime()[-4:] + time.asctime()[-4:], "20242024"),
        (lambda: dt.datetime.now(UTC).timestamp(), EPOCH_S + 90),
        (lambda: dt.datetime.now().timestamp(), EPOCH_S + 90),  # noqa: DTZ005 - as modules write it.
        (lambda: dt.datetime.utcnow().replace(tzinfo=UTC).timestamp(), EPOCH_S + 90),  # noqa: DTZ003 - likewise.
        (lambda: dt.datetime.today().timestamp(), EPOCH_S + 90),  # noqa: DTZ002 - likewise.
        (lambda: date.today().year, 2024),  # noqa: DTZ011 - likewise.
        (lambda: type(dt.datetime.now(UTC)) is dt.datetime, True),
        (lambda: Keeper.steady(), UPTIME_S + 90),
        (lambda: BEFORE.steady(), UPTIME_S + 90),
        (lambda: Keeper.wall(), EPOCH_S + 90),
        (lambda: Keeper().clock(), EPOCH_S + 90),
        (lambda: BEFORE.clock(), EPOCH_S + 90),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_way_to_ask_for_the_time_shows_what_has_passed_in_the_run(told: Callable[[], object], expected: object) -> None:
    assert seen_by_workers(after(90, told))[0] == [expected]


def test_a_clock_that_runs_ahead_does_so_for_one_worker_and_not_for_its_steady_clock() -> None:
    def told() -> tuple[float, float, float]:
        return time.time() - EPOCH_S, dt.datetime.now(UTC).timestamp() - EPOCH_S, time.monotonic() - UPTIME_S

    assert seen_by_workers(told, told, ahead_s=(0.0, 31.0))[0] == [(0.0, 0.0, 0.0), (31.0, 31.0, 0.0)]


def test_real_time_is_shown_before_after_and_to_other_threads() -> None:
    real, elsewhere = time.time, list[float]()

    def asks_elsewhere() -> None:
        thread = threading.Thread(target=lambda: elsewhere.extend((time.time(), dt.datetime.now(UTC).timestamp())))
        thread.start()
        thread.join()  # Done with a lock, so really.

    run: Run | None = None
    with virtual_time(lambda: run):
        assert time.time is not real
        assert time.time() > EPOCH_S + 86_400
        run = Run(first)
        run.go([asks_elsewhere])

    assert time.time is real
    assert dt.datetime.now(UTC).timestamp() > EPOCH_S + 86_400
    assert min(elsewhere) > EPOCH_S + 86_400
    assert Keeper.__init__.__defaults__ == (real,)
    assert BEFORE.clock is real


def test_a_module_imported_during_one_run_follows_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "imported_late.py").write_text(
        "from time import sleep, time\nfrom datetime import datetime\nclass C:\n    now = time\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def imported() -> float:
        return float(importlib.import_module("imported_late").time())

    def used() -> tuple[float, float]:
        module = sys.modules["imported_late"]
        module.sleep(60)
        return module.time(), module.C().now()

    assert seen_by_workers(imported)[0] == [EPOCH_S]
    assert sys.modules["imported_late"].time() > EPOCH_S + 86_400
    assert seen_by_workers(used)[0] == [(EPOCH_S + 60, EPOCH_S + 60)]
    del sys.modules["imported_late"]


def waits_for_an_event() -> object:
    return threading.Event().wait(50)


def waits_for_an_item(kind: type[Any]) -> Callable[[], object]:
    def task() -> object:
        try:
            return kind().get(timeout=50)
        except queue.Empty:
            return False

    return task


def waits_for_a_slot() -> object:
    return threading.Semaphore(0).acquire(timeout=50)


def waits_for_a_plan() -> object:
    done: list[bool] = []
    plan = sched.scheduler()
    plan.enter(50, 1, lambda: done.append(False))
    plan.run()
    return done[0]


@pytest.mark.parametrize(
    "task",
    [
        waits_for_an_event,
        waits_for_a_slot,
        waits_for_a_plan,
        waits_for_an_item(queue.Queue),
        pytest.param(lambda: waits_for_an_item(queue.SimpleQueue)(), id="a simple queue, as it is named while a run lasts"),
    ],
)
def test_waiting_for_what_does_not_come_takes_virtual_time(task: Callable[[], object]) -> None:
    seen, run = seen_by_workers(task)

    assert seen == [False]
    assert run.now_s == pytest.approx(50)


def test_a_notified_worker_goes_on_at_once() -> None:
    event = threading.Event()
    seen, run = seen_by_workers(lambda: event.wait(50), after(20, event.set))

    assert seen == [None, True]
    assert run.now_s == 20


def test_whoever_waits_for_what_never_comes_is_stuck() -> None:
    with pytest.raises(Stuck, match="every worker waits"):
        seen_by_workers(lambda: threading.Event().wait())


def test_a_timer_is_no_worker_and_seen() -> None:
    run = Run(first)
    with virtual_time(lambda: run):
        run.go([lambda: threading.Timer(30, print).start()])

    assert "threading.Timer(30 s)" in run.lost
    assert isinstance(run.workers[0].error, Uncontrolled)


def test_waiting_is_as_ever_for_everybody_else() -> None:
    assert not threading.Event().wait(0.001)
    assert asyncio.run(asyncio.sleep(0.001, "slept")) == "slept"
    with pytest.raises(RuntimeError, match="un-acquired"):
        seen_by_workers(lambda: threading.Condition().wait(1))


def test_a_sleep_of_less_than_nothing_is_an_error_as_ever() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        seen_by_workers(lambda: time.sleep(-1))


def test_a_wait_is_no_effect_of_anybody() -> None:
    assert not Effect("wait", "sleep 1 s").writes
