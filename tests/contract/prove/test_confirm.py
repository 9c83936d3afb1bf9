from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from interlock.prove.clock import virtual_time
from interlock.prove.confirm import link
from interlock.prove.confirm.processes import ProcessRun
from interlock.prove.effect import Effect
from interlock.prove.faults.crash_after import CrashAfter
from interlock.prove.faults.crash_before import CrashBefore
from interlock.prove.faults.lost_reply import LostReply
from interlock.prove.faults.reset import Reset
from interlock.prove.wire.redis_server import running_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from interlock.prove.worker import Worker

_real_pid = os.getpid


def first(ready: list[Worker]) -> Worker:
    return ready[0]


@pytest.fixture
def run() -> Iterator[ProcessRun]:
    run = ProcessRun(first)
    yield run
    run.end()
    for child in run.children.values():
        assert not Path(f"/proc/{child.pid}").exists(), "a process is left behind"


def effect(run: ProcessRun, said: str, perform: Callable[[], Any] = lambda: None) -> Any:
    return run.effect(Effect("test", said), perform, str)


def told(run: ProcessRun) -> list[tuple[str, str, str | None, str]]:
    return [(step.worker, step.effect.said, step.fault, step.answer) for step in run.steps]


def test_every_worker_is_a_process_of_its_own(run: ProcessRun) -> None:
    run.go([lambda: effect(run, "who", _real_pid)] * 3)

    pids = {step.answer for step in run.steps}
    assert len(pids) == 3
    assert str(_real_pid()) not in pids


def test_what_one_worker_keeps_no_other_sees_unless_it_is_kept_outside(run: ProcessRun) -> None:
    inside: list[int] = []
    outside: list[int] = []
    shared = run.outside(outside)

    def task() -> None:
        inside.append(1)
        effect(run, "note", lambda: shared.append(len(inside)))

    run.go([task, task])

    assert (inside, outside) == ([], [1, 1])


@pytest.mark.parametrize("fault", [CrashBefore(), CrashAfter()])
def test_a_crash_is_a_kill_and_nobody_cleans_up(run: ProcessRun, tmp_path: Path, fault: Any) -> None:
    run.plan = {(0, 1): fault}

    def task() -> None:
        try:
            effect(run, "first")
            effect(run, "second", (tmp_path / "done").touch)
        finally:
            (tmp_path / "cleaned up").touch()

    run.go([task])

    assert run.killed == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == (["done"] if fault.name == "crash after" else [])
    assert told(run)[-1] == ("A", "second", fault.name, "the worker is killed")


@pytest.mark.usefixtures("redis_server")
def test_a_killed_workers_own_connection_is_gone_from_the_server(run: ProcessRun) -> None:
    run.plan = {(0, 1): CrashBefore()}
    with running_redis() as server:
        before = len(server.value("CLIENT", "LIST").splitlines())
        seen: list[int] = []

        def task() -> None:
            client = redis.Redis(unix_socket_path=str(server.path))
            effect(run, "connect", client.ping)
            effect(run, "killed here", client.ping)

        def choose(ready: list[Worker]) -> Worker:
            seen.append(len(server.value("CLIENT", "LIST").splitlines()) - before)
            return ready[0]

        run.choose = choose
        run.go([task])
        limit = time.monotonic() + 30
        while len(server.value("CLIENT", "LIST").splitlines()) > before and time.monotonic() < limit:
            time.sleep(0.01)

        assert seen == [0, 1]
        assert len(server.value("CLIENT", "LIST").splitlines()) == before


@pytest.mark.parametrize(("fault", "performed"), [(Reset(), []), (LostReply(), [1])])
def test_a_broken_connection_is_told_to_the_process(run: ProcessRun, fault: Any, performed: list[int]) -> None:
    run.plan = {(0, 0): fault}
    outside: list[int] = []
    shared = run.outside(outside)

    def task() -> None:
        try:
            effect(run, "charge", lambda: shared.append(1))
        except ConnectionResetError:
            effect(run, "told that it was not")

    run.go([task])

    assert outside == performed
    assert [said for _, said, _, _ in told(run)] == ["charge", "told that it was not"]


def test_the_order_is_the_one_that_is_chosen(run: ProcessRun) -> None:
    run.choose = lambda ready: ready[-1]

    def task() -> None:
        for number in range(2):
            effect(run, str(number))

    run.go([task, task])

    assert [(worker, said) for worker, said, _, _ in told(run)] == [("B", "0"), ("B", "1"), ("A", "0"), ("A", "1")]


def test_all_processes_see_one_virtual_time(run: ProcessRun) -> None:
    def sleeps(seconds: float) -> Callable[[], None]:
        def task() -> None:
            began = time.time()
            time.sleep(seconds)
            effect(run, "how long", lambda: round(time.time() - began))

        return task

    with virtual_time(lambda: run):
        run.go([sleeps(86_400), sleeps(60)])

    assert [(worker, answer) for worker, _, _, answer in told(run)] == [("B", "60"), ("A", "86400")]


def test_a_worker_waits_in_its_process_for_what_another_one_does(run: ProcessRun) -> None:
    outside: list[int] = []
    shared = run.outside(outside)

    def takes() -> None:
        run.effect(Effect("test", "take"), shared.pop, str, until=lambda: bool(shared.__len__()))

    run.go([takes, lambda: effect(run, "put", lambda: shared.append(7))])

    assert [(worker, said, answer) for worker, said, _, answer in told(run)] == [("B", "put", "None"), ("A", "take", "7")]


class Untold(Exception):  # noqa: N818 - an error of a module.
    def __init__(self, lock: object, what: str) -> None:
        super().__init__(what)
        self.lock = lock


def test_an_error_that_cannot_travel_is_told_by_its_name(run: ProcessRun) -> None:
    def task() -> None:
        raise Untold(open(os.devnull), "out of stock")  # noqa: SIM115, PTH123 - a file cannot travel.

    run.go([task])

    assert str(run.workers[0].error) == "Untold: out of stock"


def test_a_process_that_never_comes_to_an_effect_is_no_confirmation(run: ProcessRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlock.prove.confirm.processes.ANSWER_TIMEOUT_S", 0.5)

    def spin() -> None:
        while True:
            pass

    run.go([spin])

    assert run.lost == "nothing was heard of a process for 0.5 s"


def test_a_process_that_ends_by_itself_is_no_confirmation(run: ProcessRun) -> None:
    run.go([lambda: os._exit(0)])

    assert run.lost == "a process ended by itself"


def test_a_workers_process_ends_with_the_one_that_grants() -> None:
    ours, theirs = os.pipe()
    granting = os.fork()
    if granting == 0:
        run = ProcessRun(lambda _: os._exit(0))  # It dies at the first choice, and ends nobody.
        run.go([lambda: effect(run, "never granted")])
    os.close(theirs)
    os.waitpid(granting, 0)

    assert os.read(ours, 1) == b""  # Nobody is left who holds the other end.
    os.close(ours)


def test_a_message_that_is_longer_than_a_socket_holds_comes_whole(run: ProcessRun) -> None:
    run.go([lambda: effect(run, "much", lambda: "x" * 2_000_000)])

    assert len(run.steps[0].answer) == 2_000_000
    assert link.ANSWER_TIMEOUT_S > 1
