"""One client connection to a provider: each request is an effect, answered by the provider of the world."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol, cast

from interlock.prove.effect import Effect

if TYPE_CHECKING:
    from interlock.prove.scheduler import Run


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came.

    Attributes:
        method: In capitals.
        path: With its query.
        headers: By name in small letters.
        body: Its bytes.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body, if it is a JSON object; else nothing."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


class Answers(Protocol):
    """What stands behind an address."""

    def answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        """The status and the JSON body."""
        ...


class HttpWire:
    """What stands behind one controlled socket.

    Args:
        run: The schedule.
        host: Whose address it is.
        service: Who answers.
    """

    def __init__(self, run: Run, host: str, service: Answers) -> None:
        self._run = run
        self._host = host
        self._service = service
        self._buffer = b""

    def sent(self, data: bytes) -> bytes:
        """Answers the requests that are complete now."""
        self._buffer += data
        replies = b""
        while (found := _request(self._buffer)) is not None:
            request, end = found
            self._buffer = self._buffer[end:]
            replies += self._answered(request)
        return replies

    def close(self) -> None:
        """Nothing is kept."""

    def _answered(self, request: Request) -> bytes:
        name = frozenset({f"http:{self._host}"})
        key = request.headers.get("idempotency-key")
        said = f"{request.method} {self._host}{request.path}" + (f" (key {key})" if key else "")
        status, body = self._run.effect(Effect("http", said, name, name), lambda: self._service.answer(request), _told)
        content = json.dumps(body).encode()
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def _told(answer: tuple[int, dict[str, Any]]) -> str:
    status, body = answer
    return f"{status} {json.dumps(body)[:80]}"


def _request(buffer: bytes) -> tuple[Request, int] | None:
    """The first request in the buffer and where it ends; nothing if it has not come whole yet."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = buffer[:end].decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    whole = end + 4 + int(headers.get("content-length", "0"))
    if len(buffer) < whole:
        return None
    method, path, _ = first.split(" ", 2)
    return Request(method, path, headers, buffer[end + 4 : whole]), whole
