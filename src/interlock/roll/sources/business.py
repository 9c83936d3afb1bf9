"""What the business counts: orders, payments, sign-ups, as JSON lines in a file or posted over HTTP.

    {"name": "orders", "user": "4711"}
    {"name": "payments", "user": "4711", "failed": true, "exposed_at": 1729176180.2}

Such events come late. An order is completed minutes after its user was sent to a side, and in between the share may have grown;
attributed to the share of now, every healthy rollout looks as if its canary lost orders. So an event counts under the share at
exposure. `exposed_at` says when that was. Without it the event counts only if the share was the same all the time from `lag_s`
before, and is left out otherwise, whatever its side: leaving out both sides alike changes nothing between them.
"""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Final, Protocol, cast

from interlock.core.errors import WorldError
from interlock.roll.buckets import bucket_of, user_hash
from interlock.roll.judge import Arm
from interlock.roll.sources import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from interlock.roll.shares import Shares

_BODY_BYTES_MAX: Final = 1_000_000


class Lines(Protocol):
    """Where lines come from."""

    def read(self) -> Iterable[bytes]:
        """The lines that are new."""
        ...

    def close(self) -> None:
        """Gives back what it holds."""
        ...


class Business:
    """Business events, each told the side of its user from the user's id alone."""

    name = "the business events"

    def __init__(self, lines: Lines, *, salt: str, shares: Shares, lag_s: float) -> None:
        self._lines = lines
        self._salt = salt
        self._shares = shares
        self._lag_s = lag_s
        self.left_out = 0

    def poll(self) -> Sequence[Event]:
        """The events whose exposure is certain. Raises WorldError for a line that is no event."""
        return [event for line in self._lines.read() if line.strip() and (event := self._event(line))]

    def _event(self, line: bytes) -> Event | None:
        name, user, failed, exposed_s = _parsed(line)
        now_s = time.time()
        limit = self._shares.between(*((now_s - self._lag_s, now_s) if exposed_s is None else (exposed_s, exposed_s)))
        if limit is None:
            self.left_out += 1
            return None
        hashed = user_hash(user, self._salt)
        side = Arm.CANARY if bucket_of(hashed) < limit else Arm.BASELINE
        return Event(name=name, arm=side, limit=limit, user=hashed, failed=failed)

    def idle(self) -> bool:
        """Nobody can tell silence from a break here."""
        return False

    def close(self) -> None:
        """Closes the file or the port."""
        self._lines.close()


def _parsed(line: bytes) -> tuple[str, str, bool, float | None]:
    """Name, user, whether it failed, and when the user was sent to a side."""
    try:
        found = json.loads(line)
        fields = cast("dict[str, object]", found) if isinstance(found, dict) else {}
        exposed = fields.get("exposed_at")
        return (
            str(fields["name"]),
            str(fields["user"]),
            fields.get("failed") is True,
            None if exposed is None else float(str(exposed)),
        )
    except (ValueError, KeyError, RecursionError) as error:
        message = f'a business event is {line[:80]!r}; expected {{"name": ..., "user": ...}} ({error})'
        raise WorldError(message) from error


class Posted:
    """Takes JSON lines that are posted to a port of this machine."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._queue: SimpleQueue[bytes] = SimpleQueue()
        queue = self._queue

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                if length > _BODY_BYTES_MAX:
                    self.send_error(413)
                    return
                for line in self.rfile.read(length).splitlines():
                    queue.put(line)
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by the server.
                """Says nothing."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            message = f"cannot listen on {host}:{port} for business events: {error.strerror}"
            raise WorldError(message) from error
        self.port: int = self._server.server_address[1]
        Thread(target=self._server.serve_forever, daemon=True).start()

    def read(self) -> Iterator[bytes]:
        """What was posted."""
        while not self._queue.empty():
            yield self._queue.get()

    def close(self) -> None:
        """Gives the port back."""
        self._server.shutdown()
        self._server.server_close()
