"""Keeps the time, whatever a module does: schedules run in a child process, and the parent ends it when the time is over.

A module may compute for ever, sleep in C, or wait for a lock of its own. Then nothing in its process can be relied on but a
thread below Python, which writes down where everybody stands (`faulthandler`). The parent reads that, ends the child and all
that it has started, and removes their folder: also when it is stopped itself.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import re
import signal
import sys
import sysconfig
import tempfile
import threading
import time
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from interlock.core.errors import InterlockError
from interlock.prove.passers_by import cut_off
from interlock.prove.scratch import remove_those_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from multiprocessing.connection import Connection

T = TypeVar("T")

# A module under proof may fork, and the clock that it is shown says nothing about how long we wait.
_real_monotonic = time.monotonic
# Counted from the end of the time. Whoever is well ends by itself before the first; the parent waits for the last.
_DUMP_S, LATE_S, _KILL_S = 0.4, 0.6, 0.8
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG, prctl(2), which Linux alone has.
_prctl: Callable[..., object] = getattr(ctypes.CDLL(None), "prctl", lambda *_: None)
_FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)
_GUARD = str(Path(__file__).parent)
_EXECUTORS = str(Path(__file__).with_name("executors.py"))
_LIBRARIES = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))


class NoAnswer(Exception):  # noqa: N818 - the state of a module, not a mistake of ours.
    """There was no answer in time, or never will be; says why."""


@dataclass(frozen=True, slots=True)
class _Watch:
    """What the processes below a supervisor know: when to write down where they stand, and in which folder."""

    ends_at_s: float
    folder: Path

    def arm(self) -> None:
        """Has it written down soon after the time is over."""
        left_s = max(0.05, self.ends_at_s + _DUMP_S - _real_monotonic())
        log = os.open(self.folder / f"stands-{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)  # It stays open.
        faulthandler.dump_traceback_later(left_s, file=log)


def end_with_parent(by: signal.Signals = signal.SIGKILL) -> None:
    """Lets this process end as soon as the one that has started it does, however that ends."""
    _prctl(_DIES_WITH_PARENT, by)


_watches: list[_Watch] = []


def is_supervised() -> bool:
    """Whether this process is a child that gives an answer and ends at once, with all that it has."""
    return bool(_watches)


def _arm() -> None:
    for watch in _watches:
        watch.arm()


def _disarm() -> None:
    if _watches:
        faulthandler.cancel_dump_traceback_later()


# The thread that writes does not survive a fork, and a child that asks it to end waits for ever.
os.register_at_fork(before=_disarm, after_in_parent=_arm, after_in_child=_arm)


def supervised(
    function: Callable[[Callable[[object], None]], T],
    ends_at_s: float,
    told: Callable[[Any], None],
    *,
    is_heard: bool = False,
) -> T:
    """What a function answers, that runs in a child process.

    Args:
        function: Is given what to tell the parent by.
        ends_at_s: When it should have ended by itself, in monotonic time.
        told: Is called in this process with what the function tells.
        is_heard: Whether what the module prints and logs goes to standard error, and not nowhere.

    Raises:
        NoAnswer: If it has not, or the child has died.
        Exception: What the function raised.
    """
    with _stopped_in_order(), _folder() as folder:
        ours, theirs = Pipe(duplex=False)
        sys.stdout.flush()
        child = os.fork()
        if not child:
            _be_child(function, theirs, _Watch(ends_at_s, folder), is_heard=is_heard)
        theirs.close()
        try:
            return cast("T", _listened(ours, ends_at_s, told, folder))
        except EOFError:
            raise NoAnswer(f"the process that ran the schedules has ended: {_ended(child)}") from None
        finally:
            _end(child)
            ours.close()


def _listened(ours: Connection[Any, Any], ends_at_s: float, told: Callable[[Any], None], folder: Path) -> object:
    while ours.poll(max(0.0, ends_at_s + _KILL_S - _real_monotonic())):
        kind, value = ours.recv()
        if kind == "answer":
            return value
        if kind == "error":
            raise value
        told(value)
    raise NoAnswer(where_it_stands(folder))


def where_it_stands(folder: Path | None = None) -> str:
    """Where the module stands, in words, from what its processes have written down; nothing, if they have not."""
    folder = folder or (_watches[-1].folder if _watches else None)
    logs = sorted(folder.glob("stands-*")) if folder is not None else []
    for own in (True, False):
        for log in logs:
            if place := _place(log.read_text(errors="replace"), own=own):
                return f"the module does not come back from {place}"
    return "the module does not come back, and nobody knows from where"


def _place(dump: str, *, own: bool) -> str:
    """The first place of the main thread that is the module's own; or the first at all."""
    frames: list[tuple[str, str, str]] = _FRAME.findall(dump[dump.rfind("hread 0x") :])
    of_ours = {name for path, _, name in frames if path == _EXECUTORS}
    if "_result" in of_ours or (not of_ours and any(name == "_process_worker" for _, _, name in frames)):
        return ""  # It waits for other processes, which stand where they stand; or for something to do.
    for path, line, name in frames:
        if path.startswith(_GUARD) and own:
            return ""  # Whatever called the guard waits for it as it should.
        if not own or not path.startswith(_LIBRARIES):
            return f"{path}:{line} in {name}"
    return ""


def _be_child(
    function: Callable[[Callable[[object], None]], T], theirs: Connection[Any, Any], watch: _Watch, *, is_heard: bool
) -> NoReturn:
    """Answers, and never returns to the code that was forked."""
    try:
        os.setsid()  # One group to end; and Ctrl-C is the parent's business.
        end_with_parent()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        if not is_heard:  # In thousands of schedules it says the same thing thousands of times.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.dup2(2, 1)  # What the module prints is no result of ours.
        cut_off()
        tempfile.tempdir = str(watch.folder)
        _watches.append(watch)
        watch.arm()
        answer = _answered(function, theirs)
        sys.stdout.flush()  # Once the parent has its answer, this process is ended.
        theirs.send(answer)
    finally:
        sys.stdout.flush()
        os._exit(0)


def _answered(function: Callable[[Callable[[object], None]], T], theirs: Connection[Any, Any]) -> tuple[str, object]:
    try:
        return "answer", function(lambda value: theirs.send(("told", value)))
    except InterlockError as error:
        return "error", error
    except BaseException:  # noqa: BLE001 - whatever else it is, the parent raises it; not every exception can travel.
        return "error", RuntimeError(traceback.format_exc())


def _ended(child: int) -> str:
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"


def _end(child: int) -> None:
    """Ends a child and everything that it has started."""
    for end in (os.killpg, os.kill):  # It may not be at the head of its group yet.
        with suppress(ProcessLookupError, PermissionError):
            end(child, signal.SIGKILL)
    with suppress(ChildProcessError):  # `_ended` has waited for it.
        os.waitpid(child, 0)


@contextmanager
def _folder() -> Generator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="interlock-"))
    if not os.geteuid():  # A server that refuses to run as root has its own folder in it, and must get there.
        folder.chmod(0o711)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)
        remove_those_of(folder)


class _Stopped(BaseException):
    pass


@contextmanager
def _stopped_in_order() -> Generator[None]:
    """Lets SIGTERM unwind this process, as SIGINT does, before it ends it."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(*_: object) -> NoReturn:
        raise _Stopped

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except _Stopped:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
