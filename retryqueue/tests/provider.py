"""A payment provider in the shape of Stripe, for tests: real HTTP, a true ledger, and every mood a provider can be in.

    python provider.py --port 0 --share lost-reply=0.05 --seed 7     # its first line is its port

What it takes from Stripe's documentation (idempotent requests, advanced error handling, error codes, decline codes):

* The status and body of the first request under an idempotency key are saved once it is carried out, also a 500 and a
  decline, and given again, marked `Idempotent-Replayed: true`, to each later request under that key.
* The same key with other parameters is an `idempotency_error` (400); a key whose first request still runs is a 409.
* Neither of these is saved, nor a 429, nor a request that lacks something.
* A key that is older than its life is a new one: the customer is charged again.

It differs in two ways: the body is JSON, and a charge belongs to the payment that its `metadata.payment` names, or else its
idempotency key up to the last colon, so that the ledger can say how often each payment was charged.

    POST /v1/charges      {"amount": 4999, "currency": "eur", "payment_method": "pm_1", "customer": "u1"}
    POST /plan            {"order-1041": ["lost-reply", "500-before", "ok@250"]}: what its next requests meet, @ delay in ms
    POST /settings        any of `Settings`
    POST /clock           {"forward_ms": 86400000}
    GET  /ledger          {"order-1041": 1}: how often each payment was charged
    GET  /ledger/charges  every charge, oldest first
    GET  /ledger/summary  totals, and how requests were answered

The moods, and what they do to a request, are in `provider_books`.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import re
import socket
import struct
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

from provider_books import MOODS, PAGE, Answer, Execution, Provider, Settings, error_answer, json_answer, json_object

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from types import TracebackType

HOST = "127.0.0.1"
LONGEST_HEAD_BYTES = 16_384
LONGEST_BODY_BYTES = 32 * 1024 * 1024  # A plan for a hundred thousand payments goes through.
NO_SUCH_PATH = error_answer(404, "invalid_request_error", "There is nothing at this address.")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; the names of its headers are in small letters."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    keeps_alive: bool


class MalformedError(ValueError):
    """Bytes that are no HTTP/1.1 request, or none that is understood here."""


def next_request(buffer: bytearray) -> Request | None:
    """Takes the first request out of what was received; none, if it is not complete yet.

    Raises:
        MalformedError: If no request can come of it.
    """
    end = buffer.find(b"\r\n\r\n", 0, LONGEST_HEAD_BYTES)
    if end < 0:
        if len(buffer) >= LONGEST_HEAD_BYTES:
            raise MalformedError("the head is too long")
        return None
    start, *lines = buffer[:end].decode("latin-1").split("\r\n")
    method, path, version = _start_line(start)
    headers = _headers(lines)
    body_at = end + 4
    next_at = body_at + _body_length(headers)
    if len(buffer) < next_at:
        return None
    body = bytes(buffer[body_at:next_at])
    del buffer[:next_at]
    return Request(method, path, headers, body, version == "HTTP/1.1" and headers.get("connection", "").lower() != "close")


def _start_line(line: str) -> tuple[str, str, str]:
    found = re.fullmatch(r"([A-Z]+) (/[!-~]*) (HTTP/1\.[01])", line)
    if not found:
        raise MalformedError("the first line is no request")
    return found[1], found[2], found[3]


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise MalformedError("a header has no name")
        if headers.setdefault(name.lower(), value.strip(" \t")) != value.strip(" \t"):
            raise MalformedError("two headers contradict each other")
    return headers


def _body_length(headers: Mapping[str, str]) -> int:
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers:
        raise MalformedError("a body needs a Content-Length here")
    if not re.fullmatch(r"[0-9]{1,10}", length) or int(length) > LONGEST_BODY_BYTES:
        raise MalformedError("the Content-Length is no length, or too long")
    return int(length)


def written(answer: Answer, *, keeps_alive: bool) -> bytes:
    """An answer as it goes over the wire."""
    lines = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        *(["Idempotent-Replayed: true"] if answer.replayed else []),
        *([] if keeps_alive else ["Connection: close"]),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + answer.body


class Desk:
    """Which path leads to what: the charges, and the control of the provider."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._told: dict[str, Callable[[dict[str, Any]], None]] = {
            "/plan": provider.plan,
            "/settings": provider.change,
            "/clock": lambda said: provider.forward(int(said["forward_ms"])),
        }
        self._asked: dict[str, Callable[[], object]] = {
            "/ledger": provider.charges_by_payment,
            "/ledger/charges": lambda: [asdict(charge) for charge in provider.ledger],
            "/ledger/summary": provider.summary,
        }

    def receive(self, request: Request) -> Answer | Execution:
        """The answer to a request, or the execution that leads to it."""
        if request.method == "POST" and request.path == "/v1/charges":
            return self.provider.begin(request.headers, request.body)
        if request.method == "POST" and request.path in self._told:
            return self._tell(request)
        if request.method == "GET" and request.path in self._asked:
            return json_answer(200, self._asked[request.path]())
        return NO_SUCH_PATH

    def _tell(self, request: Request) -> Answer:
        try:
            self._told[request.path](json_object(request.body))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return error_answer(400, "invalid_request_error", f"{type(error).__name__}: {error}")
        return json_answer(200, {})


class Connection(asyncio.Protocol):
    """One client's connection: one request at a time, answered in order, kept alive."""

    _transport: asyncio.Transport

    def __init__(self, desk: Desk, everybody: set[Connection]) -> None:
        self._desk = desk
        self._everybody = everybody
        self._buffer = bytearray()
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._everybody.add(self)
        self._desk.provider.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it left makes no difference.
        """The client has gone; what it asked for is carried out all the same."""
        self._everybody.discard(self)

    def data_received(self, data: bytes) -> None:
        """Some bytes have come: part of a request, or several requests."""
        self._buffer += data
        self._go_on()
        if self._busy and len(self._buffer) > LONGEST_BODY_BYTES:
            self._transport.abort()

    def abort(self) -> None:
        """Ends the connection at once."""
        self._transport.abort()

    def _go_on(self) -> None:
        while not self._busy and not self._transport.is_closing():
            try:
                request = next_request(self._buffer)
            except MalformedError as error:
                self._send(error_answer(400, "invalid_request_error", f"This is no request: {error}."), keeps_alive=False)
                return
            if request is None:
                return
            self._serve(request)

    def _serve(self, request: Request) -> None:
        step = self._desk.receive(request)
        if isinstance(step, Answer):
            self._send(step, keeps_alive=request.keeps_alive)
        elif step.delay_ms:
            self._busy = True
            asyncio.get_running_loop().call_later(step.delay_ms / 1000, self._finish, step, request)
        else:
            self._send(self._desk.provider.finish(step), keeps_alive=request.keeps_alive)

    def _finish(self, execution: Execution, request: Request) -> None:
        self._busy = False
        self._send(self._desk.provider.finish(execution), keeps_alive=request.keeps_alive)
        self._go_on()

    def _send(self, answer: Answer, *, keeps_alive: bool) -> None:
        if self._transport.is_closing():
            return
        if answer.harm in {"lost-reply", "lost-request"}:
            self._reset()
        elif answer.harm == "cut-reply":
            self._transport.write(written(answer, keeps_alive=keeps_alive)[: -len(answer.body) // 2])
            self._transport.close()
        else:
            shown = Answer(200, PAGE, "text/html") if answer.harm == "garbage-reply" else answer
            self._transport.write(written(shown, keeps_alive=keeps_alive))
            if not keeps_alive:
                self._transport.close()

    def _reset(self) -> None:
        """Closes so that the client sees a reset (RST) and not an orderly end."""
        no_linger = struct.pack("ii", 1, 0)
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        self._transport.abort()


async def serve(settings: Settings, port: int, ready: Callable[[int, asyncio.Event], None]) -> None:
    """Serves on the loopback address until the event that `ready` is given is set; port 0 takes a free one.

    Raises:
        OSError: If the port is taken.
    """
    desk = Desk(Provider(settings))
    everybody: set[Connection] = set()
    over = asyncio.Event()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(desk, everybody), HOST, port, backlog=4096)
    ready(server.sockets[0].getsockname()[1], over)
    try:
        await over.wait()
    finally:
        server.close()
        for connection in list(everybody):
            connection.abort()
        await asyncio.sleep(0)  # The transports close their sockets in the next step.


class RunningProvider:
    """A provider that runs somewhere, asked and told over HTTP.

    Attributes:
        port: Its port on the loopback address.
        url: Its address, such as `http://127.0.0.1:4242`.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://{HOST}:{port}"

    def ledger(self) -> dict[str, int]:
        """How often each payment was charged."""
        charged: dict[str, int] = self._ask("GET", "/ledger")
        return charged

    def charges(self) -> list[dict[str, Any]]:
        """Every charge (see `provider_books.Charge`), oldest first."""
        charges: list[dict[str, Any]] = self._ask("GET", "/ledger/charges")
        return charges

    def summary(self) -> dict[str, Any]:
        """Totals, and how requests were answered (see `provider_books.Provider.summary`)."""
        summary: dict[str, Any] = self._ask("GET", "/ledger/summary")
        return summary

    def plan(self, steps: Mapping[str, list[str]]) -> None:
        """Decides what the next requests for these payments meet: one step for each, then what is usual."""
        self._ask("POST", "/plan", steps)

    def change(self, **settings: object) -> None:
        """Changes some of `Settings`, from the next request on."""
        self._ask("POST", "/settings", settings)

    def forward(self, ms: int) -> None:
        """Moves the provider's clock on."""
        self._ask("POST", "/clock", {"forward_ms": ms})

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=90)
        try:
            connection.request(method, path, body=None if body is None else json.dumps(body))
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != HTTPStatus.OK:
            raise ValueError(answer["error"]["message"])
        return answer


@contextmanager
def running_provider(port: int = 0, **settings: Any) -> Generator[RunningProvider]:
    """Runs a provider in a thread of this process, with these `Settings`, until the block ends.

    Raises:
        OSError: If the port is taken.
        ValueError: If a setting makes no sense.
    """
    chosen = Settings(**settings)
    started: Future[tuple[int, Callable[[], object]]] = Future()

    def ready(port: int, over: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        started.set_result((port, lambda: loop.call_soon_threadsafe(over.set)))

    def run() -> None:
        try:
            asyncio.run(serve(chosen, port, ready))
        except OSError as error:
            started.set_exception(error)

    thread = threading.Thread(target=run, name="provider")
    thread.start()
    try:
        taken, stop = started.result(timeout=90)
        try:
            yield RunningProvider(taken)
        finally:
            stop()
    finally:
        thread.join(timeout=90)


class ProviderProcess(RunningProvider):
    """A provider in a process of its own, which ends with the block, and also when this process is killed.

    Attributes:
        pid: The process's number.

    Raises:
        RuntimeError: If it does not start.
    """

    def __init__(self, port: int = 0, **settings: Any) -> None:
        command = [sys.executable, __file__, f"--port={port}", "--while-stdin-is-open", *_options(settings)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.strip().isdigit():
            self.close()
            raise RuntimeError("the provider did not start")
        super().__init__(int(line))

    def close(self) -> None:
        """Ends the process."""
        self._process.terminate()
        with self._process:  # Closes the pipes and waits.
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _options(settings: Mapping[str, Any]) -> list[str]:
    """Settings as options of the command."""
    shares = [f"--share={mood}={share}" for mood, share in settings.get("share", {}).items()]
    return shares + [f"--{name.replace('_', '-')}={value}" for name, value in settings.items() if name != "share"]


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A payment provider in the shape of Stripe, for tests.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; the first line printed is the port")
    parser.add_argument("--share", action="append", default=[], metavar="MOOD=PART", help=f"moods: {', '.join(sorted(MOODS))}")
    for name, usual in asdict(Settings()).items():
        if name != "share":
            parser.add_argument("--" + name.replace("_", "-"), type=int if isinstance(usual, int) else str, default=usual)
    parser.add_argument("--while-stdin-is-open", action="store_true", help="end when standard input ends")
    return parser.parse_args()


def _settings(options: argparse.Namespace) -> Settings:
    named = {setting.name: getattr(options, setting.name) for setting in fields(Settings) if setting.name != "share"}
    shares = (str(text).partition("=") for text in options.share)
    return Settings(share={mood: float(part) for mood, _, part in shares}, **named)


def main() -> None:
    """Runs a provider until the process is ended, or its standard input is, if that was asked for."""
    options = _parsed()

    def ready(port: int, over: asyncio.Event) -> None:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        if options.while_stdin_is_open:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), over.set)

    with suppress(KeyboardInterrupt):
        asyncio.run(serve(_settings(options), options.port, ready))


if __name__ == "__main__":
    main()
