"""A real HAProxy with the section that interlock writes, in a folder and on ports of its own."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interlock.core.errors import WorldError
from interlock.roll.routers.haproxy import Haproxy
from interlock.roll.routers.haproxy_config import MAP_TEXT, Section
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

_GLOBAL = """\
global
    stats socket {folder}/admin level admin
defaults
    mode http
    timeout connect 2s
    timeout client 20s
    timeout server 20s
frontend shop
    bind 127.0.0.1:{port}
"""

# Each version says who it is, and fails when it is asked to, or as often in a thousand as the faults say.
_SIDE = """\
backend {name}
    http-request set-var(txn.faults) str({name}),map({folder}/faults.map,0)
    http-request set-var(txn.drawn) rand(1000),sub(txn.faults)
    http-request return status 503 content-type text/plain string "{name}" if {{ path /fails }}
    http-request return status 503 content-type text/plain string "{name}" if {{ var(txn.drawn) -m int lt 0 }}
    http-request return status 200 content-type text/plain lf-string "{name} %[var(txn.il_hash)] %[var(txn.il_limit)]"
"""


def needed(program: str) -> str:
    """The path of a program; the test is not run without it, and says so."""
    found = shutil.which(program)
    if found is None:
        message = f"NOT RUN: no {program} on this machine (make servers)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


def wait_until(condition: object, limit_s: float = 30.0) -> None:
    """Waits until a function gives something true."""
    assert callable(condition)
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come to that"
        time.sleep(0.02)


@dataclass(slots=True, kw_only=True)
class Running:
    """A HAProxy that runs."""

    folder: Path
    port: int
    section: Section
    process: subprocess.Popen[bytes] | None = None

    @property
    def router(self) -> Haproxy:
        return Haproxy(socket=self.folder / "admin", map=self.section.map)

    @property
    def config(self) -> Path:
        return self.folder / "haproxy.cfg"

    def fail(self, version: str, per_thousand: int) -> None:
        """From now on a version fails that often."""
        self.router.ask(f"set map {self.folder}/faults.map {version} {per_thousand}")

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        self.process = subprocess.Popen([needed("haproxy"), "-db", "-f", str(self.config)], stderr=subprocess.DEVNULL)
        wait_until(lambda: _answers(self.router))

    def stop(self) -> None:
        """Ends it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def restart(self) -> None:
        """As after a crash: what was in its memory is gone."""
        self.stop()
        self.start()

    def get(self, path: str = "/", *, user: str | None = None, headers: dict[str, str] | None = None) -> str:
        """What one visitor is answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers=headers or ({} if user is None else {"Cookie": f"uid={user}"}))
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def sides(self, users: list[str]) -> dict[str, str]:
        """Which side each of these users is sent to, asked on one connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        found = {}
        for user in users:
            connection.request("GET", "/", headers={"Cookie": f"uid={user}"})
            found[user] = connection.getresponse().read().decode().split()[0]
        connection.close()
        return found


@contextmanager
def running_haproxy(*, user: str = "cookie uid", log: str = "") -> Iterator[Running]:
    needed("haproxy")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="roll-")))  # Short, for a socket's path.
        section = Section(map=folder / "roll.map", log=str(folder / log) if log else f"127.0.0.1:{free_port()}", user=user)
        section.map.write_text(MAP_TEXT, encoding="utf-8")
        running = Running(folder=folder, port=free_port(), section=section)
        (folder / "faults.map").write_text("baseline 0\ncanary 0\n", encoding="utf-8")
        sides = "".join(_SIDE.format(name=name, folder=folder) for name in ("baseline", "canary"))
        config = _GLOBAL.format(folder=folder, port=running.port) + section.text() + sides
        running.config.write_text(config, encoding="utf-8")
        stack.callback(running.stop)
        running.start()
        yield running


def _answers(router: Haproxy) -> bool:
    try:
        router.read()
    except WorldError:
        return False
    return True


@pytest.fixture
def haproxy() -> Iterator[Running]:
    with running_haproxy() as running:
        yield running


@pytest.fixture
def haproxy_by_header() -> Iterator[Running]:
    with running_haproxy(user="header X-User") as running:
        yield running


@pytest.fixture
def haproxy_with_socket() -> Iterator[Running]:
    with running_haproxy(log="log") as running:
        yield running
