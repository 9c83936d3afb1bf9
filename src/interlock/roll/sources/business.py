"""What the business counts: orders, payments, sign-ups, as JSON lines in a file or posted over HTTP.

    {"name": "orders", "user": "4711"}
    {"name": "payments", "user": "4711", "failed": true, "exposed_at": 1729176180.2}

Such events come late. An order is completed minutes after its user was sent to a side, and in between the share may have grown;
attributed to the share of now, every healthy rollout looks as if its canary lost orders. So an event counts under the share at
exposure. `exposed_at` says when that was: when the request came that led to it, and not when the order was written down. It may
be left out where the router's log tells users apart: see `exposures`.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Final, Protocol, cast

from interlock.core.errors import WorldError
from interlock.roll.buckets import user_hash
from interlock.roll.sources import BusinessEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
    """Business events, by the hash of their user, which tells the side."""

    name = "the business events"

    def __init__(self, lines: Lines, *, salt: str, lag_s: float) -> None:
        self._lines = lines
        self._salt = salt
        self._lag_s = lag_s

    def poll(self) -> Sequence[BusinessEvent]:
        """What has come. Raises WorldError for a line that is no event."""
        return [self._event(line) for line in self._lines.read() if line.strip()]

    def _event(self, line: bytes) -> BusinessEvent:
        name, user, failed, exposed_s = _parsed(line)
        hashed = user_hash(user, self._salt)
        return BusinessEvent(name=name, user=hashed, failed=failed, exposed_s=exposed_s, lag_s=self._lag_s)

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
