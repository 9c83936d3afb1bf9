from __future__ import annotations

import faulthandler
import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import redis

from interlock.core.errors import UsageError, WorldError
from interlock.core.verdict import Verdict
from interlock.prove import scratch, watchdog
from interlock.prove.bench import bench
from interlock.prove.clock import virtual_time
from interlock.prove.contract import contract
from interlock.prove.explore import Progress, prove, watched
from interlock.prove.invariant import Invariant
from interlock.prove.programs import Program
from interlock.prove.scheduler import Run
from interlock.prove.watchdog import supervised
from interlock.prove.wire.postgres_process import USER, postgres_process
from interlock.prove.wire.redis_server import running_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from interlock.prove.world import World

real_sleep = time.sleep  # While a schedule runs, the name stands for another one.
RESTLESS = Path(__file__).parent.parent / "prove_subjects" / "restless.py"


@pytest.fixture
def restless(redis_server: None, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ARG001 - it must be there.
    monkeypatch.syspath_prepend(RESTLESS.parent)
    import restless  # type: ignore[import-not-found]  # noqa: PLC0415 - a subject is imported as its users would.

    return restless


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where everything temporary is put, as long as the test lasts. Its name is short, since sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="ilk-") as name:
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield Path(name)


def line_of(task: Callable[[], object]) -> int:
    """The line that is marked with the task's name."""
    lines = RESTLESS.read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if line.endswith(f"# {task.__name__}"))


def running_below(folder: Path) -> list[str]:
    """The processes that have to do with a folder."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = process.joinpath("cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if str(folder) in said:
            found.append(said)
    return found


def wait_until(holds: Callable[[], bool], what: str) -> None:
    ends_at_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends_at_s, what
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["computes", "sleeps", "waits_for_itself"])
def test_a_module_that_does_not_come_back_is_unknown_and_the_answer_says_where(restless: Any, folder: Path, name: str) -> None:
    task = getattr(restless, name)
    proof = watched(restless.under_contract(task), budget_s=3)

    assert proof.verdict is Verdict.UNKNOWN
    assert proof.reason == f"the module does not come back from {RESTLESS}:{line_of(task)} in {name}"
    assert list(folder.iterdir()) == []
    wait_until(lambda: not running_below(folder), "the server of the proof still runs")


@pytest.mark.usefixtures("redis_server", "postgres_server")
def test_nothing_of_a_database_is_left_in_memory(restless: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    @contract(workers=2, faults=0)
    def on_a_database(world: World) -> None:
        world.given_schema("CREATE TABLE numbers (n int)")
        world.run(restless.computes)
        world.check(Invariant("rows", lambda: None if world.sql("SELECT * FROM numbers") == [] else "there are rows"))

    with tempfile.TemporaryDirectory(prefix="ilk-") as name:
        memory = Path(name)
        memory.chmod(0o711)  # The server runs as somebody else.
        monkeypatch.delenv("TMPDIR", raising=False)
        monkeypatch.setattr(scratch, "MEMORY", memory)
        monkeypatch.setattr(scratch, "ROOM", 0)
        proof = watched(on_a_database, budget_s=6)

        assert proof.reason.startswith("the module does not come back")
        assert list(memory.iterdir()) == []


def test_a_database_has_no_memory_outside_of_its_folder(postgres_server: None) -> None:  # noqa: ARG001 - it must be there.
    with postgres_process() as (path, _), psycopg.connect(host=str(path.parent), dbname="postgres", user=USER) as connection:
        assert connection.execute("SHOW dynamic_shared_memory_type").fetchone() == ("mmap",)


@pytest.mark.usefixtures("redis_server")
def test_what_it_takes_to_clear_up_at_the_end_is_not_taken_for_a_module_that_does_not_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @contract(workers=2, faults=1)
    def counts(world: World) -> None:
        url = world.redis_url
        world.run(lambda: redis.Redis.from_url(url).incr("n"))
        world.check(Invariant("it is there", lambda: None if world.redis("EXISTS", "n") else "it is gone"))

    monkeypatch.setattr(gc, "collect", lambda *_: real_sleep(60))  # As with a large heap.
    proof = watched(counts, budget_s=3, deep=True)

    assert proof.reason in {"", "the budget of 3 s is used up"}
    assert proof.schedules > 100


def test_the_pool_says_it_too(restless: Any, folder: Path) -> None:
    proof = watched(restless.under_contract(restless.computes), budget_s=3, jobs=2)

    assert proof.verdict is Verdict.UNKNOWN
    assert proof.reason == f"the module does not come back from {RESTLESS}:{line_of(restless.computes)} in computes"
    assert list(folder.iterdir()) == []
    wait_until(lambda: not running_below(folder), "the servers of the proof still run")


@pytest.mark.parametrize(
    ("name", "does"),
    [
        ("forks", "forks"),
        ("starts_a_program", "starts a program"),
        ("starts_a_process", "forks"),
        ("starts_a_thread", "starts a thread"),
        ("hides_a_thread", "starts a thread"),
    ],
)
def test_what_is_started_is_seen_when_it_happens(restless: Any, name: str, does: str) -> None:
    task = getattr(restless, name)
    proof = prove(restless.under_contract(task), budget_s=60)

    assert proof.verdict is Verdict.UNKNOWN
    assert proof.reason == f"{RESTLESS}:{line_of(task)} {does}, and nobody controls what happens there"


def test_a_module_that_takes_its_process_down_is_unknown(restless: Any, folder: Path) -> None:
    proof = watched(restless.under_contract(restless.dies), budget_s=60)

    assert proof.verdict is Verdict.UNKNOWN
    assert proof.reason == "the process that ran the schedules has ended: signal SIGSEGV"
    assert list(folder.iterdir()) == []


def test_who_watches_gets_the_same_answers_and_the_same_errors(queues: Any) -> None:
    @contract(faults=0)
    def charged(world: Any) -> None:
        bank = world.provider(queues.PROVIDER)
        queue = world.subject(queues.Right, world.redis_url)
        world.given(lambda: queue().enqueue("p1"))
        world.run(lambda: queue().process())
        world.check(bank.charged_once("p1"))

    shown: list[Progress] = []
    proof, alone = watched(charged, budget_s=60, told=shown.append), prove(charged, budget_s=60)

    assert (proof.verdict, proof.schedules, proof.bounds) == (Verdict.PASS, alone.schedules, alone.bounds)
    assert shown
    with pytest.raises(UsageError, match="found 0 jobs"):
        watched(charged, jobs=0)


@pytest.mark.usefixtures("redis_server")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_nothing_is_left_of_a_proof_that_is_stopped(folder: Path, number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-m", "interlock", "prove", f"{RESTLESS}::never_comes_back", "--budget", "10m"]
    with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(folder)}, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: any("redis-server" in said for said in running_below(folder)), "the proof does not begin")
        process.send_signal(number)
        assert process.wait(60) == code

    assert list(folder.iterdir()) == []
    wait_until(lambda: not running_below(folder), "the server of the proof still runs")


def test_the_watch_goes_by_real_time_whatever_a_worker_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def noted(left_s: float, **_: object) -> None:
        asked.append(left_s)

    monkeypatch.setattr(faulthandler, "dump_traceback_later", noted)

    def sleeps_and_forks() -> None:
        time.sleep(86_400)  # In virtual time.
        if not os.fork():
            os._exit(0)
        os.wait()

    def in_virtual_time(tell: Callable[[object], None]) -> None:
        run = Run(lambda ready: ready[0])
        with virtual_time(lambda: run):
            run.go([sleeps_and_forks])
        tell(asked)

    told: list[list[float]] = []
    supervised(in_virtual_time, time.monotonic() + 3600, told.append)

    assert len(told[0]) == 2  # At its beginning, and after the fork.
    assert all(3000 < left_s <= 3601 for left_s in told[0])  # A day is over by the other clock.


@pytest.mark.usefixtures("redis_server")
def test_no_server_is_left_of_a_proof_that_is_killed(folder: Path) -> None:
    command = [sys.executable, "-m", "interlock", "prove", f"{RESTLESS}::never_comes_back", "--budget", "10m"]
    with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(folder)}, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: any("redis-server" in said for said in running_below(folder)), "the proof does not begin")
        process.kill()

    wait_until(lambda: not running_below(folder), "the server of the proof still runs")


@pytest.mark.usefixtures("redis_server")
def test_a_folder_whose_name_is_too_long_for_a_socket_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (long := tmp_path / ("x" * 100)).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))

    with pytest.raises(WorldError, match="too long for the name of a socket"), running_redis():
        pass


DUMP = """Thread 0x00007f1 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 331 in wait
  File "/usr/lib/python3.11/concurrent/futures/_base.py", line 451 in result
  File "{guard}/executors.py", line 105 in _result
"""
IDLE = """Thread 0x00007f3 (most recent call first):
  File "/usr/lib/python3.11/multiprocessing/connection.py", line 395 in _recv
  File "/usr/lib/python3.11/concurrent/futures/process.py", line 240 in _process_worker
"""
STANDS = """Thread 0x00007f2 (most recent call first):
  File "/somewhere/library.py", line 7 in works
"""


def test_a_process_that_waits_for_others_is_not_where_the_module_stands(tmp_path: Path) -> None:
    tmp_path.joinpath("stands-0").write_text(IDLE)
    tmp_path.joinpath("stands-1").write_text(DUMP.format(guard=Path(watchdog.__file__).parent))
    assert watchdog.where_it_stands(tmp_path) == "the module does not come back, and nobody knows from where"

    tmp_path.joinpath("stands-2").write_text(STANDS)
    assert watchdog.where_it_stands(tmp_path) == "the module does not come back from /somewhere/library.py:7 in works"


@pytest.mark.parametrize("when", ["worker", "recovery"])
def test_the_end_of_the_time_cuts_a_schedule_in_the_middle(redis_server: None, when: str) -> None:  # noqa: ARG001 - it must be there.
    """One that goes on after it for as long as others wait for it is taken for a module that does not come back."""
    done: list[str] = []

    @contract(workers=1, faults=0)
    def much_is_done(world: World) -> None:
        def task() -> None:
            client = redis.Redis.from_url(world.redis_url)
            for number in range(20):
                client.set("n", number)
                done.append(world.history[-1].worker)

        world.run(task)
        world.recover(task, times=1)
        world.check(Invariant("it ends", lambda: None))

    with bench(much_is_done) as own:
        own.is_over = lambda: done[-3:] == [{"worker": "A", "recovery": "recovery"}[when]] * 3
        found = own.carried_out(Program("ok", 1, None), time.monotonic() + 60)

    assert (found.is_cut, found.schedules, found.violation, found.lost) == (True, 0, None, "")
    assert len(done) == {"worker": 3, "recovery": 23}[when]


def test_what_a_module_says_in_thousands_of_schedules_is_not_told_and_in_a_replay_it_is(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def says_so(_: object) -> str:
        os.write(1, b"printed, ")
        os.write(2, b"logged")
        return "answer"

    assert supervised(says_so, time.monotonic() + 10, lambda _: None) == "answer"
    assert capfd.readouterr() == ("", "")

    assert supervised(says_so, time.monotonic() + 10, lambda _: None, is_heard=True) == "answer"
    assert capfd.readouterr() == ("", "printed, logged")
