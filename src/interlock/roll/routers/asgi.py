"""A splitter of ASGI applications: both versions in one process, and no router in front of them.

    app = Splitter(baseline=old_app, canary=new_app, control="/run/shop/roll.sock")      # uvicorn shop:app

`interlock roll` speaks to it through the socket, one JSON document a line: it sets the share, reads it back, and hears what
happened to the requests. What is awaited by nobody else, a task or a thread of the application, is on no side.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import socketserver
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict, dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Final, cast

from interlock.core.errors import WorldError
from interlock.roll.buckets import BUCKETS, bucket_of, user_hash
from interlock.roll.judge import Arm
from interlock.roll.routers import Setting

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
User = Callable[[Scope], str | None]

_DEADLINE_S: Final = 2.0
_REMEMBERED: Final = 200_000  # Requests; whoever asks four times a second misses none below 800,000 a second.
_SERVER_ERROR: Final = 500


def cookie(name: str) -> User:
    """Tells users apart by a cookie."""

    def user(scope: Scope) -> str | None:
        try:
            found = SimpleCookie(_header(scope, b"cookie") or "").get(name)
        except CookieError:
            return None
        return found.value or None if found else None

    return user


def header(name: str) -> User:
    """Tells users apart by a header."""
    return lambda scope: _header(scope, name.lower().encode()) or None


def _header(scope: Scope, name: bytes) -> str | None:
    found = [value for key, value in scope.get("headers", ()) if key == name]
    return found[-1].decode("latin-1") if found else None


class Splitter:
    """Sends each request to one of two applications, and a user always to the same one."""

    def __init__(self, *, baseline: App, canary: App, control: str | Path, user: User | None = None) -> None:
        self._apps = {Arm.BASELINE: baseline, Arm.CANARY: canary}
        self._user = user or cookie("uid")
        self._setting = Setting(limit=0, salt="none", until_s=0)
        self._log: deque[tuple[str, int, int | None, int, float]] = deque(maxlen=_REMEMBERED)
        self._logged = 0
        self._lock = Lock()
        _serve(Path(control), self._answer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, of any kind that ASGI knows."""
        if scope["type"] == "lifespan":
            await _lifespan(list(self._apps.values()), scope, receive, send)
            return
        side, limit, hashed = self._sent_to(self._user(scope))
        app = self._apps[side]
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        status, start_s = _SERVER_ERROR, time.monotonic()

        async def watched(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await app(scope, receive, watched)
        except Exception:
            status = _SERVER_ERROR
            raise
        finally:
            self._note(side, limit, hashed, status, (time.monotonic() - start_s) * 1000)

    def side_of(self, user: str) -> Arm:
        """Where a user is sent now, for code that has to know."""
        return self._sent_to(user)[0]

    def _sent_to(self, user: str | None) -> tuple[Arm, int, int | None]:
        setting = self._setting
        limit = setting.limit if time.time() < setting.until_s else 0
        hashed = None if user is None else user_hash(user, setting.salt)
        bucket = random.randrange(BUCKETS) if hashed is None else bucket_of(hashed)  # noqa: S311 - a share, not a secret.
        return Arm.CANARY if bucket < limit else Arm.BASELINE, limit, hashed

    def _note(self, side: Arm, limit: int, hashed: int | None, status: int, duration_ms: float) -> None:
        with self._lock:
            self._log.append((side, limit, hashed, status, round(duration_ms, 3)))
            self._logged += 1

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What to say to one line of the control socket."""
        match asked:
            case {"do": "write", "setting": {"limit": int(limit), "salt": str(salt), "until_s": int(until_s)}}:
                self._setting = Setting(limit=limit, salt=salt, until_s=until_s)
                return asdict(self._setting)
            case {"do": "read"}:
                return asdict(self._setting)
            case {"do": "events", "after": int(after)}:
                return self._events(after)
            case _:
                return {"error": "expected read, write or events"}

    def _events(self, after: int) -> dict[str, Any]:
        with self._lock:
            missing = self._logged - (after if 0 <= after <= self._logged else self._logged)
            told = list(self._log)[-missing:] if missing else []
            return {"logged": self._logged, "lost": missing - len(told), "events": told}


def _serve(path: Path, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answers lines on a socket, in a thread of its own, for as long as the process lives."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                self.wfile.write(json.dumps(answer(_question(line))).encode() + b"\n")

    path.unlink(missing_ok=True)
    server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
    server.daemon_threads = True
    path.chmod(0o600)
    Thread(target=server.serve_forever, daemon=True, name="roll").start()


def _question(line: bytes) -> dict[str, Any]:
    """What a line asks; nothing if it is no JSON object."""
    try:
        asked = json.loads(line)
    except ValueError:
        return {}
    return cast("dict[str, Any]", asked) if isinstance(asked, dict) else {}


async def _lifespan(apps: list[App], scope: Scope, receive: Receive, send: Send) -> None:
    """Starts all applications and stops them all. One that cannot start keeps the others from it, as it would alone."""
    inboxes: list[asyncio.Queue[Message]] = [asyncio.Queue() for _ in apps]
    outboxes: list[asyncio.Queue[Message]] = [asyncio.Queue() for _ in apps]
    tasks = [asyncio.ensure_future(_living(app, scope, i, o)) for app, i, o in zip(apps, inboxes, outboxes, strict=True)]
    try:
        for phase in ("startup", "shutdown"):
            message = await receive()
            for inbox in inboxes:
                inbox.put_nowait(message)
            said = [await outbox.get() for outbox in outboxes]
            failed = [found for found in said if found["type"] == f"lifespan.{phase}.failed"]
            await send(failed[0] if failed else {"type": f"lifespan.{phase}.complete"})
    finally:
        await asyncio.gather(*tasks, return_exceptions=True)


async def _living(app: App, scope: Scope, inbox: asyncio.Queue[Message], outbox: asyncio.Queue[Message]) -> None:
    """One application's life; one that knows no lifespan is taken to have started, as servers do."""
    try:
        await app({**scope}, inbox.get, outbox.put)
    except Exception:  # noqa: BLE001 - an application that raises at `lifespan` does not support it (ASGI 3, lifespan).
        for phase in ("startup", "shutdown"):
            outbox.put_nowait({"type": f"lifespan.{phase}.complete"})


@dataclass(frozen=True, slots=True)
class SplitterControl:
    """The other end of a splitter's socket: a router."""

    path: Path

    def read(self) -> Setting:
        """What the splitter does now."""
        return Setting(**self.ask({"do": "read"}))

    def write(self, setting: Setting) -> None:
        """Sets the share and hears it back."""
        self.ask({"do": "write", "setting": asdict(setting)})
        if (found := self.read()) != setting:
            message = f"the splitter was told {setting} and does {found}"
            raise WorldError(message)

    def ask(self, question: dict[str, object]) -> dict[str, Any]:
        """One question, one answer."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_DEADLINE_S)
                connection.connect(str(self.path))
                connection.sendall(json.dumps(question).encode() + b"\n")
                with connection.makefile("rb") as answers:
                    answer = cast("dict[str, Any]", json.loads(answers.readline()))
        except (OSError, ValueError) as error:
            message = f"the splitter at {self.path} did not answer within {_DEADLINE_S:.0f} s: {error}"
            raise WorldError(message) from error
        if "error" in answer:
            message = f"the splitter at {self.path} refused {question}: {answer['error']}"
            raise WorldError(message)
        return answer
