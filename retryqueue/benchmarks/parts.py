"""What is measured, the same way for every queue. Each part answers its figures or raises PeerFailedError."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers import witness
from benchmarks.processes import LIMIT_S, PeerFailedError, Worker, ask, working

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from benchmarks.server import Server

    Figures: TypeAlias = dict[str, Any]

HOLD_MS = 3_000
KILL_AFTER_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long and how much: the figures that make a run short or long."""

    timed_s: float = 3.0
    "Length of each timed window of `enqueue`; each way of `batch` has two thirds of it."
    warm_up_s: float = 0.5
    scale: float = 1.0
    "Multiplies the payments to drain, delay and count in memory."
    cap_s: float = 60.0
    "How long a killed worker's payment is waited for."


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One queue to be measured on an empty server."""

    name: str
    facts: dict[str, Any]
    server: Server
    effort: Effort

    def ask(self, command: str, **given: Any) -> Any:  # noqa: ANN401 - JSON has no narrower type.
        """Runs one errand of this queue's adapter."""
        return ask(self.name, self.server.url, command, **given)

    def scaled(self, count: int) -> int:
        """So many payments, by the effort."""
        return max(20, round(count * self.effort.scale))


def enqueue(subject: Subject) -> Figures:
    """Single enqueues per second of one process, one after the other, with the queue's deduplication where it has one."""
    effort = subject.effort
    return {"value": subject.ask("single", warm_up_s=effort.warm_up_s, timed_s=effort.timed_s)}


def batch(subject: Subject) -> Figures:
    """Enqueues per second of one process, the best of the ways the queue has."""
    effort = subject.effort
    ways: dict[str, float] = subject.ask("batch", warm_up_s=effort.warm_up_s, timed_s=effort.timed_s * 2 / 3)
    best = max(ways, key=ways.__getitem__)
    return {"value": ways[best], "way": best, "ways": ways}


def drain(subject: Subject) -> Figures:
    """Payments per second by one worker process that finds them all enqueued and charges nothing.

    From the first execution to the moment when Redis holds no unfinished one: execution, acknowledgement and all. The worker's
    start is not counted; what is written down of an execution is two notes in all.
    """
    count = subject.scaled(subject.facts["drain_jobs"])
    subject.ask("fill", first=0, count=count)
    with tempfile.TemporaryDirectory() as name, working(subject.name, subject.server.url, Path(name), "drain", count) as worker:
        try:
            took = subject.ask("settle", witness=f"{name}/witness", count=count, limit_s=LIMIT_S)
        except PeerFailedError:
            worker.check()  # A worker that ended says more than a wait that was too long.
            raise
    extra = {"executed": took["executed"]} if took["executed"] != count else {}
    return {"value": count / took["took_s"], "payments": count, "executing_per_s": count / took["executing_s"], **extra}


def lateness(subject: Subject) -> Figures:
    """Milliseconds from when 200 delayed payments, 50 ms apart, were due to when they were executed by an idle worker.

    Due is the enqueuing process's clock at the call, plus the delay it asked for; negative is too early.
    """
    count = subject.scaled(200)
    with tempfile.TemporaryDirectory() as name, working(subject.name, subject.server.url, Path(name), "lateness") as worker:
        _ready(subject, worker, Path(name), "lateness")
        last_s = subject.ask("fill_due", count=count, lead_s=1.5, step_s=0.05)
        notes = _notes(worker, Path(name), "late", count, last_s - time.time() + 15)
    late_ms = sorted(note.value for note in notes[:count])
    if len(late_ms) < count:
        problem = f"{count - len(late_ms)} of {count} not executed 15 s after the last was due"
        raise PeerFailedError(problem)
    p99_ms = statistics.quantiles(late_ms, n=100, method="inclusive")[98]
    return {"value": statistics.median(late_ms), "p99_ms": p99_ms, "least_ms": late_ms[0], "most_ms": late_ms[-1]}


def recovery(subject: Subject) -> Figures:
    """Seconds from SIGKILL of the whole worker, one second into a payment of three, until another worker executes it again.

    The other worker is started at once; its start is counted. No value means: not within the cap.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with working(subject.name, subject.server.url, folder, "recovery") as worker:
            _ready(subject, worker, folder, "recovery")
            subject.ask("put", number=90_000_002, hold_ms=HOLD_MS, part="recovery")
            if not _notes(worker, folder, "held", 1, 15):
                raise PeerFailedError("the payment was not executed at all within 15 s")
            time.sleep(KILL_AFTER_S)
            killed_s = worker.kill()
        with working(subject.name, subject.server.url, folder, "recovery") as worker:
            notes = _notes(worker, folder, "held", 2, subject.effort.cap_s)
    again_s = notes[1].at_s - killed_s if len(notes) > 1 else None
    return {"value": again_s, "cap_s": subject.effort.cap_s}


def memory(subject: Subject) -> Figures:
    """Bytes of Redis's `used_memory` per waiting payment: between two readings without a client, after a first thousand."""
    warm_up, count = subject.scaled(1_000), subject.scaled(10_000)
    subject.ask("fill", first=0, count=warm_up)
    before = subject.server.memory_bytes()
    subject.ask("fill", first=warm_up, count=count)
    return {"value": (subject.server.memory_bytes() - before) / count, "payments": count}


PARTS: dict[str, Callable[[Subject], Figures]] = {
    part.__name__: part for part in (enqueue, batch, drain, lateness, recovery, memory)
}


def _ready(subject: Subject, worker: Worker, folder: Path, part: str) -> None:
    """Waits until the worker has executed a first payment."""
    subject.ask("put", number=90_000_001, hold_ms=0, part=part)
    if not _notes(worker, folder, "ready", 1, 30):
        raise PeerFailedError("the worker executed nothing within 30 s")


def _notes(worker: Worker, folder: Path, word: str, count: int, limit_s: float) -> list[witness.Line]:
    """What the witness noted, as soon as there is as much as this, or at the limit."""
    until_s = time.monotonic() + limit_s
    while len(notes := witness.lines(folder / "witness", word)) < count and time.monotonic() < until_s:
        worker.check()
        time.sleep(0.05)
    return notes
