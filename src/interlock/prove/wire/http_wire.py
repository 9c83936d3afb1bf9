"""One client connection to a provider: each request is an effect, answered by the provider of the world.

HTTP/1.1 with all that clients make of it: connections that are kept, bodies in chunks, `Expect: 100-continue`.
Source: RFC 9112.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from interlock.prove.effect import Effect, exactly

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from interlock.prove.scheduler import Run


_PHRASES = {int(status): status.phrase for status in HTTPStatus}
MAY_GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"


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


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back.

    Attributes:
        status: 200, 503, ...
        body: Bytes, a text, or something that is sent as JSON; nothing for none.
        headers: By name.
        hangs: Whether it never comes: the request has arrived, and nothing is heard of it.
    """

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    hangs: bool = False

    def content(self) -> tuple[str, bytes]:
        """The type of the body, and its bytes."""
        if self.body is None:
            return "", b""
        if isinstance(self.body, bytes):
            return "application/octet-stream", self.body
        if isinstance(self.body, str):
            return "text/plain; charset=utf-8", self.body.encode()
        return "application/json", json.dumps(self.body).encode()


class HttpWire:
    """What stands behind one controlled socket.

    Args:
        run: The schedule.
        host: Whose address it is.
        answer: Answers a request; or gives only the status and the JSON body.
    """

    def __init__(self, run: Run, host: str, answer: Callable[[Request], Answer | tuple[int, dict[str, Any]]]) -> None:
        self._run = run
        self._host = host
        self._answer = answer
        self._buffer = b""
        self._may_go_on = False
        self._is_closed = False
        self.patience_s: float | None = None
        self.expects = ""

    def sent(self, data: bytes) -> bytes:
        """Answers the requests that are complete now."""
        self._buffer += data
        if self._buffer.startswith(b"PRI * HTTP/2"):
            raise self._run.uncontrolled(f"HTTP/2 to {self._host}, of which this guard does not know where a request ends")
        replies = b""
        while not self._is_closed and (found := first_request(self._buffer)) is not None:
            request, self._buffer = found
            self._may_go_on = False
            replies += self._answered(request)
        if b"\r\n\r\n" in self._buffer and not self._may_go_on and asks_first(self._buffer):
            self._may_go_on = True
            replies += MAY_GO_ON
        return replies

    def has_news(self) -> bool:
        """Whether this end has closed the connection."""
        return self._is_closed

    def news(self) -> bytes:
        """Its end."""
        return b""

    def leave(self) -> None:
        """What has begun is done to its end."""

    def close(self) -> None:
        """Nothing is kept."""

    def _answered(self, request: Request) -> bytes:
        name = frozenset({f"http:{self._host}"})
        key = request.headers.get("idempotency-key")
        said = f"{request.method} {self._host}{request.path}" + (f" (key {key})" if key else "")
        effect = Effect("http", said, name, name, exactly=exactly("", request.body))
        answer = self._run.effect(effect, lambda: _whole(self._answer(request)), _told)
        if answer.hangs:
            self.expects = f"an answer of {self._host}"
            return b""
        self._is_closed = request.headers.get("connection", "").lower() == "close"
        return written(request, answer, is_last=self._is_closed)


def _whole(answer: Answer | tuple[int, dict[str, Any]]) -> Answer:
    return answer if isinstance(answer, Answer) else Answer(*answer)


def _told(answer: Answer) -> str:
    if answer.hangs:
        return "no answer, ever"
    _, content = answer.content()
    return f"{answer.status} {content[:80].decode(errors='replace')}".rstrip()


def written(request: Request, answer: Answer, *, is_last: bool) -> bytes:
    """An answer as it is sent."""
    kind, content = answer.content()
    phrase = _PHRASES.get(answer.status, "")
    headers = {"Content-Type": kind} if kind else {}
    has_none = answer.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
    if not has_none:
        headers["Content-Length"] = str(len(content))
    if is_last:
        headers["Connection"] = "close"
    lines = [
        f"HTTP/1.1 {answer.status} {phrase}",
        *(f"{name}: {value}" for name, value in {**headers, **answer.headers}.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if has_none or request.method == "HEAD" else content)


def _head(buffer: bytes) -> tuple[str, dict[str, str], int] | None:
    """The first line, the headers, and where the body begins; nothing if they have not come whole yet."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = buffer[:end].decode("latin-1").split("\r\n")
    return first, {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}, end + 4


def asks_first(buffer: bytes) -> bool:
    """Whether who sends this waits to be told that the body may come."""
    head = _head(buffer)
    return head is not None and head[1].get("expect", "").lower() == "100-continue"


def first_request(buffer: bytes) -> tuple[Request, bytes] | None:
    """The first request in the buffer, and what follows it; nothing if it has not come whole yet."""
    head = _head(buffer)
    if head is None:
        return None
    first, headers, start = head
    if "chunked" in headers.get("transfer-encoding", "").lower():
        found = _chunks(buffer, start)
    else:
        end = start + int(headers.get("content-length", "0"))
        found = (buffer[start:end], end) if len(buffer) >= end else None
    if found is None:
        return None
    method, path, _ = first.split(" ", 2)
    return Request(method, path, headers, found[0]), buffer[found[1] :]


def _chunks(buffer: bytes, start: int) -> tuple[bytes, int] | None:
    """A body in chunks, and where it ends; nothing if it has not come whole yet."""
    body = b""
    while (line_end := buffer.find(b"\r\n", start)) >= 0:
        size = int(buffer[start:line_end].split(b";")[0], 16)
        start = line_end + 2
        if size == 0:  # What may follow are trailers, up to an empty line.
            end = start if buffer.startswith(b"\r\n", start) else buffer.find(b"\r\n\r\n", start) + 2
            return (body, end + 2) if end >= start and len(buffer) >= end + 2 else None
        body += buffer[start : start + size]
        start += size + 2
    return None
