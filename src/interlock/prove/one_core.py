"""Lets a proof and its servers share one core.

They take turns: while a server works, the worker that has asked it waits, and while a worker runs, the servers wait. On two
cores each turn wakes a core that has gone to sleep, which costs more than the turn itself; on one the kernel only switches.
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

_CAN = hasattr(os, "sched_setaffinity")
# As it was when this process began: one that is forked from a proof is on that one's core, and may want another.
_ALLOWED: frozenset[int] = frozenset(os.sched_getaffinity(0)) if _CAN else frozenset()
_NAME = "\0interlock.prove.core."  # In the abstract namespace of unix(7): it ends with its socket, and leaves no file.
_PROCESSOR = 36  # Which field after the name in proc(5)'s stat, from 0.
_RealSocket = socket.socket  # While a schedule runs, the name stands for controlled ones.


@contextmanager
def one_core() -> Generator[None]:
    """Keeps this thread, and what it starts meanwhile, on a core that no other proof of this machine has, if there is one."""
    with _RealSocket(socket.AF_UNIX, socket.SOCK_DGRAM) as name:
        core = next((core for core in _nearest_first() if _is_ours(name, core)), None)
        if core is None:
            yield
            return
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {core})
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)


def _nearest_first() -> list[int]:
    """The core on which the kernel has put us, which others leave alone as far as it could see; then the rest."""
    try:
        here = int(Path("/proc/thread-self/stat").read_text().rpartition(")")[2].split()[_PROCESSOR])
    except (OSError, ValueError, IndexError):
        here = -1
    return sorted(_ALLOWED, key=lambda core: (core != here, core))


def _is_ours(name: socket.socket, core: int) -> bool:
    """Takes the name that stands for a core, unless somebody has it. The kernel takes it back, however a process ends."""
    try:
        name.bind(f"{_NAME}{core}")
    except OSError:
        return False
    return True
