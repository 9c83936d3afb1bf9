"""What passes between a worker's process and the one that grants its effects: a message, and then the answer to it."""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interlock.prove.effect import Uncontrolled

if TYPE_CHECKING:
    from socket import socket

ANSWER_TIMEOUT_S = 10.0
_LENGTH = struct.Struct("!I")
# While a schedule runs, a worker is told another number than its process has.
_own_pid = os.getpid
_poll = select.poll  # And what it waits with is under control.


class LinkLost(Uncontrolled):
    """The other process ended, or said nothing for too long."""


@dataclass(slots=True, eq=False)
class Link:
    """One end.

    Args:
        end: The socket.
    """

    end: socket

    def say(self, *message: Any) -> None:
        """Sends a message. What cannot travel is sent as the name of its type."""
        try:
            data = pickle.dumps(message)
        except Exception:  # noqa: BLE001 - a type may refuse in any way.
            data = pickle.dumps(tuple(part if _travels(part) else Stayed(type(part).__name__, str(part)) for part in message))
        try:
            self.end.sendall(_LENGTH.pack(len(data)) + data)
        except OSError as error:
            raise LinkLost("the process has ended") from error

    def hear(self, timeout_s: float | None = None) -> tuple[Any, ...]:
        """The next message."""
        size = _LENGTH.unpack(self._bytes(_LENGTH.size, timeout_s))[0]
        message: tuple[Any, ...] = pickle.loads(self._bytes(size, timeout_s))  # noqa: S301 - from our own process.
        return message

    def close(self) -> None:
        """Ends it."""
        self.end.close()

    def _bytes(self, size: int, timeout_s: float | None) -> bytes:
        data = b""
        while len(data) < size:
            if timeout_s is not None and not self._has_come(timeout_s):
                raise LinkLost(f"nothing was heard of a process for {timeout_s:g} s")
            more = self.end.recv(size - len(data))
            if not more:
                raise LinkLost("a process ended by itself")
            data += more
        return data

    def _has_come(self, timeout_s: float) -> bool:
        waiting = _poll()
        waiting.register(self.end, select.POLLIN)
        return bool(waiting.poll(timeout_s * 1000))


@dataclass(frozen=True, slots=True)
class Stayed:
    """Something that cannot leave its process.

    Attributes:
        kind: Its type.
        said: Its text.
    """

    kind: str
    said: str


@dataclass(slots=True, eq=False)
class Child:
    """A worker's process, as the one that grants sees it.

    Attributes:
        pid: Its number.
        link: What it says comes from here.
    """

    pid: int
    link: Link
    _parent: int = field(default_factory=_own_pid)
    _is_over: bool = False

    def kill(self) -> bool:
        """SIGKILL; tells whether that is what has ended it."""
        return self.end() == -signal.SIGKILL

    def end(self) -> int | None:
        """Makes sure that it is gone, and tells how it ended. In a copy of the process that started it, nothing happens."""
        if self._is_over or _own_pid() != self._parent:
            return None
        self._is_over = True
        os.kill(self.pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.link.close()
        return status


class RemoteError(Exception):
    """What was raised in another process and could not travel."""


def raisable(error: object) -> BaseException:
    """What came over a link as an error."""
    if isinstance(error, BaseException):
        return error
    assert isinstance(error, Stayed)  # noqa: S101 - there is nothing else that an error becomes.
    return RemoteError(f"{error.kind}: {error.said}")


def _travels(part: object) -> bool:
    try:
        pickle.loads(pickle.dumps(part))  # noqa: S301 - made one line up.
    except Exception:  # noqa: BLE001 - a type may refuse in any way.
        return False
    return True
