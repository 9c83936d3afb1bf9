"""Charging over HTTP, blocking and with asyncio, against a provider in the shape of Stripe: what a worker is given.

    Worker(redis_url, BlockingCharger(provider.url).charge)
    Worker(redis_url, AsyncCharger(provider.url).charge)

Nothing is sent twice here: whatever goes wrong is `Ambiguous`, and asking again is the queue's business.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import urlsplit

from retryqueue import outcome

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

    from retryqueue.outcome import Outcome
    from retryqueue.states import Lease

PATH = "/v1/charges"


def charge_headers(lease: Lease, api_key: str = "") -> dict[str, str]:
    """The headers of the request to charge what is leased."""
    key = {"Idempotency-Key": lease.provider_key, "Content-Type": "application/json"}
    return {**key, "Authorization": f"Bearer {api_key}"} if api_key else key


def charge_body(lease: Lease) -> bytes:
    """The body of that request: the same for every attempt, as an idempotency key demands."""
    payment = lease.payment
    body = {
        "amount": payment.amount_minor,
        "currency": payment.currency.lower(),
        "payment_method": payment.payment_method_id,
        "customer": payment.user_id,
        "metadata": {"payment": payment.key},
    }
    return json.dumps(body, separators=(",", ":")).encode()


def outcome_of(lease: Lease, status: int, body: bytes) -> Outcome:
    """What an answer means; a body that is no JSON object says nothing."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    return outcome.from_reply(status, cast("dict[str, Any]", said) if isinstance(said, dict) else {}, is_first=lease.is_first)


def _ambiguous(error: Exception) -> Outcome:
    return outcome.Ambiguous(f"{type(error).__name__}: {error}")


class BlockingCharger:
    """Charges with `http.client`, over one kept connection for each thread.

    Args:
        url: The provider's address.
        timeout_s: How long each send and each receive may take.
        api_key: The secret that the provider asks for, if any.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0, api_key: str = "") -> None:
        self._address = urlsplit(url).netloc
        self._timeout_s = timeout_s
        self._api_key = api_key
        self._mine = threading.local()
        self._all: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def charge(self, lease: Lease) -> Outcome:
        """Asks the provider once to charge what is leased."""
        connection = self._connection()
        try:
            connection.request("POST", PATH, charge_body(lease), charge_headers(lease, self._api_key))
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()  # The next request opens it anew.
            return _ambiguous(error)
        return outcome_of(lease, response.status, body)

    def close(self) -> None:
        """Closes every thread's connection; no thread may be charging."""
        with self._lock:
            for connection in self._all:
                connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _connection(self) -> http.client.HTTPConnection:
        known: http.client.HTTPConnection | None = getattr(self._mine, "connection", None)
        if known is not None:
            return known
        connection = self._mine.connection = http.client.HTTPConnection(self._address, timeout=self._timeout_s)
        with self._lock:
            self._all.append(connection)
        return connection


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class AsyncCharger:
    """Charges over a few kept connections of one event loop.

    Args:
        url: The provider's address.
        connections: How many there are at most; who finds none free waits.
        timeout_s: How long a charge may take, waiting for a connection included.
        api_key: The secret that the provider asks for, if any.
    """

    def __init__(self, url: str, *, connections: int = 8, timeout_s: float = 10.0, api_key: str = "") -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname, address.port
        self._timeout_s = timeout_s
        self._api_key = api_key
        self._places = asyncio.Semaphore(connections)
        self._idle: list[Streams] = []

    async def charge(self, lease: Lease) -> Outcome:
        """Asks the provider once to charge what is leased."""
        try:
            async with asyncio.timeout(self._timeout_s), self._streams() as streams:
                status, body = await _exchanged(streams, self._request(lease))
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            return _ambiguous(error)
        return outcome_of(lease, status, body)

    async def aclose(self) -> None:
        """Closes all connections; nobody may be charging."""
        while self._idle:
            _, writer = self._idle.pop()
            writer.close()
            await writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, _: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    def _request(self, lease: Lease) -> bytes:
        body = charge_body(lease)
        headers = {**charge_headers(lease, self._api_key), "Host": f"{self._host}:{self._port}", "Content-Length": len(body)}
        lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body

    @asynccontextmanager
    async def _streams(self) -> AsyncGenerator[Streams]:
        """A connection for one exchange; one that fails, or is given up, is never used again."""
        async with self._places:
            streams = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
            try:
                yield streams
            except BaseException:
                streams[1].transport.abort()
                raise
            self._idle.append(streams)


async def _exchanged(streams: Streams, request: bytes) -> tuple[int, bytes]:
    """Sends a request and reads its answer: status and body."""
    reader, writer = streams
    writer.write(request)
    await writer.drain()
    start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "")))
    return int(start.split(" ")[1]), body
