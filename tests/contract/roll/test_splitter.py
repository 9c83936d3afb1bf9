"""The ASGI splitter, served by a real uvicorn in a process of its own."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interlock.core.errors import WorldError
from interlock.roll.buckets import bucket_of, user_hash
from interlock.roll.routers import FOREVER_S, Setting
from interlock.roll.routers.asgi import SplitterControl
from interlock.roll.sources.splitter import SplitterRequests
from tests.contract.roll.conftest import wait_until
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.roll.sources import Event

CUSTOMERS = Path(__file__).resolve().parents[3] / "examples" / "checkout" / "customers.py"

SERVED = """
import os

from interlock.roll.routers.asgi import Splitter

started = []

def version(name):
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            started.append(name)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["path"] == "/raises":
            raise RuntimeError(name)
        status = 503 if scope["path"] == "/fails" or os.path.exists(f"{name}-is-bad") else 200
        body = f"{name} {len(started)}".encode()
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})
    return app

app = Splitter(baseline=version("baseline"), canary=version("canary"), control="control")
"""


class Served:
    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.control = SplitterControl(folder / "control")

    def get(self, path: str = "/", *, user: str | None = None) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path, headers={} if user is None else {"Cookie": f"uid={user}"})
        answer = connection.getresponse().read().decode()
        connection.close()
        return answer


@pytest.fixture
def served() -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="roll-") as name:
        folder, port = Path(name), free_port()
        (folder / "served.py").write_text(SERVED, encoding="utf-8")
        command = [sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "critical", "served:app"]
        with subprocess.Popen(command, cwd=folder) as process:
            try:
                served = Served(folder, port)
                wait_until(lambda: _answers(served))
                yield served
            finally:
                process.terminate()


def _answers(served: Served) -> bool:
    try:
        return bool(served.get())
    except OSError:
        return False


def setting(limit: int, *, until_s: int = FOREVER_S) -> Setting:
    return Setting(limit=limit, salt="a1b2", until_s=until_s)


def test_a_user_is_kept_on_the_side_of_its_bucket(served: Served) -> None:
    assert served.get(user="u1") == "baseline 2"  # Both were started.
    served.control.write(setting(4000))
    users = [f"user-{number}" for number in range(60)]
    expected = ["canary" if bucket_of(user_hash(user, "a1b2")) < 4000 else "baseline" for user in users]
    assert {"canary", "baseline"} == set(expected)
    assert [served.get(user=user).split()[0] for user in users] == expected


def test_without_an_id_each_request_is_drawn(served: Served) -> None:
    served.control.write(setting(5000))
    assert {served.get().split()[0] for _ in range(60)} == {"baseline", "canary"}


def test_a_share_that_nobody_renews_ends_by_itself(served: Served) -> None:
    def is_on_canary_while_it_is_renewed() -> bool:
        served.control.write(setting(10_000, until_s=int(time.time()) + 2))
        return served.get(user="u1").startswith("canary")

    wait_until(is_on_canary_while_it_is_renewed)
    wait_until(lambda: served.get(user="u1").startswith("baseline"))


def test_requests_are_told_once_with_side_user_and_failure(served: Served) -> None:
    served.get("/fails")
    wait_until(lambda: served.control.ask({"do": "events", "after": 0})["logged"] == 2)  # The one that it began with, too.
    requests = SplitterRequests(served.control)
    assert list(requests.poll()) == []  # From now on, not from before.
    served.control.write(setting(10_000))
    for path in ("/", "/fails", "/raises"):
        served.get(path, user="u1")
    heard: list[Event] = []
    wait_until(lambda: _heard(heard, requests) == 3)
    assert [(event.arm, event.limit, event.user, event.failed) for event in heard] == [
        ("canary", 10_000, user_hash("u1", "a1b2"), failed) for failed in (False, True, True)
    ]
    assert list(requests.poll()) == []


def _heard(heard: list[Event], requests: SplitterRequests) -> int:
    heard += requests.poll()
    return len(heard)


def test_a_splitter_that_is_away_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="did not answer"):
        SplitterControl(tmp_path / "s").read()


def test_a_question_that_makes_no_sense_is_refused(served: Served) -> None:
    with pytest.raises(WorldError, match="expected read, write or events"):
        served.control.ask({"do": "dance"})


SETTINGS = """\
[[roll.step]]
share = 0.05
bake_s = 120

[roll.router]
kind = "splitter"
socket = "control"
learn_s = 0.5

[[roll.source]]
kind = "splitter"

[roll.rollback]
recover_s = 3
"""


def test_a_whole_rollout_needs_no_other_router(served: Served) -> None:
    (served.folder / "interlock.toml").write_text(SETTINGS, encoding="utf-8")
    (served.folder / "canary-is-bad").touch()
    customers = [sys.executable, str(CUSTOMERS), str(served.port), "--rate", "100", "--seconds", "300"]
    with subprocess.Popen(customers, stdout=subprocess.PIPE, text=True) as coming:
        command = [sys.executable, "-m", "interlock", "roll", "start", "--format", "json"]
        ran = subprocess.run(command, cwd=served.folder, capture_output=True, text=True, timeout=120, check=False)
        coming.terminate()
        told = json.loads(coming.communicate()[0])

    assert ran.returncode == 1, ran.stderr
    assert json.loads(ran.stdout)["phase"] == "rolled back"
    assert 0 < told["answers"]["canary 503"] <= 20
    assert served.control.read().limit == 0
