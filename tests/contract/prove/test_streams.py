"""The connections of an event loop: what asyncio's own transport tells a protocol, the one under control tells it too.

Each is tried in a loop of the standard library's, also in debug mode, and in one of a module's own kind,
which keeps asyncio's transports.
"""

from __future__ import annotations

import asyncio
import signal
import ssl
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.wire.http_wire import Answer

HOST = "flags.example"
ASKED = b"GET / HTTP/1.1\r\nHost: flags.example\r\n\r\n"
SAID = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\r\non"


class Noting(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.transport: Any = None
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.told.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(f"lost: {exc!r}")
        self.over.set_result(None)


async def connected(protocol: Callable[[], Any] = Noting) -> Any:
    _, made = await asyncio.get_running_loop().create_connection(protocol, HOST, 80)
    return made


def test_a_protocol_is_told_of_its_connection_of_what_comes_and_of_the_end(gave: Any) -> None:
    async def talks() -> list[object]:
        protocol: Noting = await connected()
        protocol.transport.writelines([ASKED[:5], ASKED[5:]])
        await asyncio.sleep(1)
        protocol.transport.close()
        protocol.told.append(protocol.transport.is_closing())
        await protocol.over
        return protocol.told

    assert gave(talks) == ["made", SAID, True, "lost: None"]


def test_who_pauses_is_told_when_it_goes_on(gave: Any) -> None:
    class Paused(Noting):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.pause_reading()

    async def waits() -> list[object]:
        protocol: Noting = await connected(Paused)
        protocol.transport.write(ASKED)
        await asyncio.sleep(1)
        protocol.told.append(protocol.transport.is_reading())
        protocol.transport.resume_reading()
        await asyncio.sleep(1)
        protocol.transport.abort()
        await protocol.over
        return protocol.told

    assert gave(waits) == ["made", False, SAID, "lost: None"]


def test_what_comes_goes_into_the_buffers_of_who_has_some(gave: Any) -> None:
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer, self.told = bytearray(7), b""

        def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - as asyncio calls it.
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.told += self.buffer[:nbytes]

        def connection_made(self, transport: Any) -> None:
            transport.write(ASKED)

    async def listens() -> bytes:
        protocol = await connected(Buffered)
        await asyncio.sleep(1)
        return bytes(protocol.told)

    assert gave(listens) == SAID


def test_an_error_of_a_protocol_is_told_and_ends_its_connection(gave: Any) -> None:
    class Wrong(Noting):
        def data_received(self, data: bytes) -> None:
            raise ValueError(len(data))

    async def fails() -> list[object]:
        protocol: Noting = await connected(Wrong)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: protocol.told.append((context["message"], repr(context["exception"]))))
        protocol.transport.write(ASKED)
        await protocol.over
        return protocol.told

    message = "Fatal error: protocol.data_received() call failed."
    error = f"ValueError({len(SAID)})"
    assert gave(fails) == ["made", (message, error), f"lost: {error}"]


def test_a_connection_that_breaks_is_lost_with_its_error(gave: Any) -> None:
    def breaks() -> Answer:
        raise ConnectionResetError(104, "Connection reset by peer")

    async def is_cut_off() -> list[object]:
        protocol: Noting = await connected()
        protocol.transport.write(ASKED)
        await protocol.over
        protocol.transport.write(ASKED)
        return [*protocol.told, protocol.transport.is_closing()]

    assert gave(is_cut_off, breaks) == ["made", "lost: ConnectionResetError(104, 'Connection reset by peer')", True]


def test_a_connection_can_be_changed_to_tls(gave: Any) -> None:
    async def changes() -> list[object]:
        loop = asyncio.get_running_loop()
        protocol: Noting = await connected()
        secure: Any = await loop.start_tls(protocol.transport, protocol, ssl.create_default_context(), server_hostname=HOST)
        secure.write(ASKED)
        await asyncio.sleep(1)
        protocol.told.append(secure.get_extra_info("peername")[1])
        secure.close()
        await protocol.over
        return protocol.told

    assert gave(changes) == ["made", SAID, 80, "lost: None"]


def test_what_is_no_bytes_is_refused(gave: Any) -> None:
    async def sends_text() -> str:
        protocol: Noting = await connected()
        with pytest.raises(TypeError) as refused:
            protocol.transport.write("text")
        protocol.transport.close()
        return str(refused.value)

    assert gave(sends_text) == "data argument must be a bytes-like object, not 'str'"


def test_a_signal_wakes_a_loop(gave: Any) -> None:
    async def is_woken() -> str:
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, heard.set)
        signal.raise_signal(signal.SIGUSR1)
        async with asyncio.timeout(5):
            await heard.wait()
        return "woken"

    assert gave(is_woken) == "woken"
