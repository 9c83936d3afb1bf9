"""TLS is taken off for whoever is under control: a handshake does nothing, and what is written is what is sent.

The other end has the certificate that the client expects, and no other: that a wrong one is refused is the library's business,
and not what a contract is about. A client that asks for the certificate's bytes, as pinning does, cannot be answered.
"""

from __future__ import annotations

import ssl
import sys
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.prove.effect import Uncontrolled

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from interlock.prove.scheduler import Run


class Certified:
    """What TLS sockets and objects say about the other end."""

    server_hostname: str | None = None
    server_side = False

    def getpeercert(self, binary_form: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - as TLS has it.
        """A certificate for the name that was asked for."""
        if binary_form:
            raise self._lost(f"the bytes of the certificate of {self.server_hostname} are asked for, and TLS is taken off")
        name = self.server_hostname or ""
        return {"subject": ((("commonName", name),),), "subjectAltName": (("DNS", name),)}

    def _lost(self, reason: str) -> Exception:
        return Uncontrolled(reason)

    def version(self) -> str:
        """The newest."""
        return "TLSv1.3"

    def cipher(self) -> tuple[str, str, int]:
        """A usual one."""
        return ("TLS_AES_256_GCM_SHA384", "TLSv1.3", 256)

    def compression(self) -> None:
        """None, as always."""

    def selected_alpn_protocol(self) -> str | None:
        """HTTP/1.1."""
        return None

    def shared_ciphers(self) -> list[tuple[str, str, int]]:
        """The same one."""
        return [self.cipher()]

    def get_channel_binding(self, _: str = "tls-unique") -> None:
        """There is no channel to bind to."""

    def do_handshake(self, *_: object) -> None:
        """Nobody is there to shake hands with."""

    def pending(self) -> int:
        """Nothing is decrypted ahead."""
        return 0

    def unwrap(self) -> Any:
        """The same without TLS."""
        return self


class Passing(Certified):
    """Stands in for `ssl.SSLObject`: what comes in goes on as it is.

    Args:
        run: The schedule.
        incoming: From the other end.
        outgoing: To it.
        server_hostname: Its name.
        context: Whose object it is.
    """

    def __init__(self, run: Run, incoming: Any, outgoing: Any, server_hostname: str | None, context: ssl.SSLContext) -> None:
        self._run = run
        self._incoming, self._outgoing = incoming, outgoing
        self.server_hostname = server_hostname
        self.context = context
        self.session, self.session_reused = None, False

    def read(self, size: int = 1024, buffer: Any = None) -> Any:
        """What has come."""
        data = self._incoming.read(size if buffer is None else len(buffer))
        if not data and not self._incoming.eof:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "The operation did not complete (read)")
        if buffer is None:
            return data
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        """Sends all of it."""
        return int(self._outgoing.write(data))

    def _lost(self, reason: str) -> Exception:
        return self._run.uncontrolled(reason)


@contextmanager
def without_tls(current: Callable[[], Run | None], is_ours: Callable[[object], bool]) -> Generator[None]:
    """Takes TLS off while a schedule runs.

    Args:
        current: The schedule.
        is_ours: Tells controlled sockets.
    """
    context = ssl.SSLContext
    real_wrap, real_wrap_bio, real_load = context.wrap_socket, context.wrap_bio, context.load_verify_locations

    def wrap(self: ssl.SSLContext, sock: Any, *args: Any, **options: Any) -> Any:
        if not is_ours(sock):
            return real_wrap(self, sock, *args, **options)
        sock.server_hostname = _name_expected(self, options)
        return sock

    def wrap_bio(self: ssl.SSLContext, incoming: Any, outgoing: Any, *args: Any, **options: Any) -> Any:
        run = current()
        if run is None or options.get("server_side"):
            return real_wrap_bio(self, incoming, outgoing, *args, **options)
        return Passing(run, incoming, outgoing, _name_expected(self, options), self)

    def load(self: ssl.SSLContext, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
        # Reading all certificates of the world takes 15 ms, for nobody to look at them.
        if current() is None or cadata is not None or not all(Path(path).exists() for path in (cafile, capath) if path):
            real_load(self, cafile, capath, cadata)

    connection: Any = sys.modules.get("urllib3.connection")
    recent = getattr(connection, "RECENT_DATE", None)
    context.wrap_socket, context.wrap_bio, context.load_verify_locations = wrap, wrap_bio, load  # type: ignore[method-assign]
    if recent is not None:
        connection.RECENT_DATE = date.min  # It warns if a clock is older than that, as the virtual one is.
    try:
        yield
    finally:
        if recent is not None:
            connection.RECENT_DATE = recent
        context.wrap_socket, context.wrap_bio = real_wrap, real_wrap_bio  # type: ignore[method-assign]
        context.load_verify_locations = real_load  # type: ignore[method-assign]


def _name_expected(context: ssl.SSLContext, options: dict[str, Any]) -> str | None:
    """Whose certificate the client expects; refused where the real one refuses."""
    name: str | None = options.get("server_hostname")
    if context.check_hostname and not name:
        raise ValueError("check_hostname requires server_hostname")
    return name
