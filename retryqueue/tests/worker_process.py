"""Worker processes that can be killed: forked from one prepared process, so that a worker is back a moment after its end.

    python worker_process.py        # reads orders from standard input, a JSON object a line, and answers each with a line

    {"order": "start", ...}         with `WorkerSettings`: answers {"pid": 4242}
    {"order": "kill", "pid": 4242}  SIGKILL; answers {"status": -9}, or how the worker had ended before
    {"order": "stop", "pid": 4242}  SIGTERM; answers {"status": 0} once it has ended

The workers are children of that process, which alone waits for them: their numbers cannot be taken by another process
before it has. All of them end with its standard input.

A worker writes what it does into a journal, a file, which outlives it: `Journal` reads it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from charging import AsyncCharger, BlockingCharger

from retryqueue import Policy, Succeeded, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from retryqueue import Lease, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """One worker.

    Attributes:
        redis_url: Where the queue lies.
        provider_url: Who charges.
        journal: The file to write into.
        form: `threads` or `asyncio`: the form of the charge function.
        policy: What differs from an ordinary `Policy`.
        concurrency: How many payments are charged at the same time.
        fault: Nothing; or `fresh-keys`, which sends another idempotency key with each attempt, as the published queue did.
    """

    redis_url: str
    provider_url: str
    journal: str
    form: str = "threads"
    policy: Mapping[str, int] = field(default_factory=dict)
    concurrency: int = 8
    fault: str = ""


class Workers:
    """Worker processes, started and ended one by one; all of them end with the block."""

    def __init__(self) -> None:
        # In a group of its own: Ctrl-C is for whoever runs the test, who ends the workers.
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._lock = threading.Lock()

    def start(self, settings: WorkerSettings) -> int:
        """Starts a worker; answers its process number."""
        return int(self._ask({"order": "start", **asdict(settings)})["pid"])

    def kill(self, pid: int) -> int:
        """Kills a worker; answers its exit status: -9, or another one if it had ended before."""
        return int(self._ask({"order": "kill", "pid": pid})["status"])

    def stop(self, pid: int) -> int:
        """Asks a worker to end and waits for it; answers its exit status."""
        return int(self._ask({"order": "stop", "pid": pid})["status"])

    def close(self) -> None:
        """Ends all of them."""
        with self._process:
            pass  # Closes its standard input and waits.

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _ask(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            answer: Mapping[str, Any] = json.loads(self._process.stdout.readline())
            return answer


class Writer:
    """The pen of one worker. What is written stays if the process is killed in the next moment."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, what: str, key: str, attempt: int, more: str = "") -> None:
        """Appends one entry, whole: it is one call of the system."""
        os.write(self._file, (json.dumps([what, os.getpid(), key, attempt, more]) + "\n").encode())


@dataclass(frozen=True, slots=True)
class Journal:
    """What workers have written.

    Attributes:
        begun: The process number of each attempt (key, number) that began, in their order; mostly one.
        ended: What came of it, and the number of the process that wrote so.
        late: The attempts whose verdict the server refused, because the lease had run out.
    """

    begun: dict[tuple[str, int], list[int]]
    ended: dict[tuple[str, int], list[tuple[int, str]]]
    late: set[tuple[str, int]]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a file; there may be none, if nobody has written anything. A line that is being written comes next time."""
        journal = cls(defaultdict(list), defaultdict(list), set())
        whole, _, _ = (path.read_text() if path.exists() else "").rpartition("\n")
        for line in whole.splitlines():
            what, pid, key, attempt, more = json.loads(line)
            if what == "begun":
                journal.begun[key, attempt].append(pid)
            elif what == "ended":
                journal.ended[key, attempt].append((pid, more))
            else:
                journal.late.add((key, attempt))
        return journal

    @property
    def cut_off(self) -> int:
        """How many attempts began and never came to an end: their workers were killed meanwhile."""
        return sum(len(pids) - len(self.ended.get(attempt, [])) for attempt, pids in self.begun.items())

    def is_charging(self, pid: int) -> bool:
        """Whether a process has begun an attempt that has not come to its end."""
        return any(
            pid in pids and pid not in {who for who, _ in self.ended.get(attempt, [])} for attempt, pids in self.begun.items()
        )


class LateVerdicts(logging.Handler):
    """Writes down which verdicts came too late."""

    def __init__(self, writer: Writer) -> None:
        super().__init__(logging.WARNING)
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Takes one record of the library's log; others than these are of no interest here."""
        if "came too late" in record.msg and isinstance(record.args, tuple):
            _, attempt, key, _ = record.args
            self._writer.write("late", str(key), int(str(attempt)))


def told(outcome: Outcome) -> str:
    """An outcome in a word: the reference or the reason."""
    return outcome.reference if isinstance(outcome, Succeeded) else outcome.reason


def work(settings: WorkerSettings) -> None:
    """Works until SIGTERM."""
    writer = Writer(settings.journal)
    logger = logging.getLogger("retryqueue")
    logger.addHandler(LateVerdicts(writer))
    logger.propagate = False
    charge: Any = asyncio_charge(settings, writer) if settings.form == "asyncio" else threads_charge(settings, writer)
    policy = Policy(**settings.policy)
    Worker(settings.redis_url, charge, policy=policy, concurrency=settings.concurrency, durability="ignore").run()


def threads_charge(settings: WorkerSettings, writer: Writer) -> Callable[[Lease], Outcome]:
    """The plain charge function."""
    charger = BlockingCharger(settings.provider_url, timeout_s=5.0)

    def charge(lease: Lease) -> Outcome:
        writer.write("begun", lease.key, lease.attempt)
        outcome = charger.charge(_sent(lease, settings))
        writer.write("ended", lease.key, lease.attempt, told(outcome))
        return outcome

    return charge


def asyncio_charge(settings: WorkerSettings, writer: Writer) -> Callable[[Lease], Any]:
    """The coroutine function."""
    charger = AsyncCharger(settings.provider_url, connections=settings.concurrency, timeout_s=5.0)

    async def charge(lease: Lease) -> Outcome:
        writer.write("begun", lease.key, lease.attempt)
        outcome = await charger.charge(_sent(lease, settings))
        writer.write("ended", lease.key, lease.attempt, told(outcome))
        return outcome

    return charge


def _sent(lease: Lease, settings: WorkerSettings) -> Lease:
    return replace(lease, generation=secrets.randbits(40)) if settings.fault == "fresh-keys" else lease


def _fork(settings: WorkerSettings) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.close(0)
        os.dup2(2, 1)
        work(settings)
        status = 0
    except BaseException:
        logging.getLogger(__name__).exception("a worker ended")
        raise
    finally:
        os._exit(status)


def _ended(pid: int, number: int) -> int:
    """The exit status of a worker that is sent this signal, or that has ended before."""
    os.kill(pid, number)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    """Carries out orders until standard input ends, then kills what is left."""
    logging.basicConfig()
    asyncio.run(asyncio.sleep(0))  # Loads what a loop needs, once for all.
    alive: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        match order.pop("order"):
            case "start":
                pid = _fork(WorkerSettings(**order))
                alive.add(pid)
                answer = {"pid": pid}
            case what:
                alive.remove(order["pid"])
                answer = {"status": _ended(order["pid"], signal.SIGKILL if what == "kill" else signal.SIGTERM)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    for pid in alive:
        _ended(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
