"""A server under load over HTTP: does a release that works once and never again stop, and a good one pass?"""

from __future__ import annotations

import http.server
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tests.conftest import Interlock

SERVE = Path(__file__).resolve().parents[2] / "examples" / "checkout" / "serve.py"
SIGN_UP = '{"email": "customer{n}@example.com"}'
STARTS_WITHIN_S = 60
USERS = """
from locust import HttpUser, constant, task


class Visitor(HttpUser):
    wait_time = constant(0.3)

    @task
    def visit(self):
        self.client.get("/shop")
"""


@pytest.fixture(autouse=True)
def _locust() -> None:
    if importlib.util.find_spec("locust") is None:
        message = "NOT RUN: no locust (pip install -r requirements/test.txt)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@contextmanager
def served(shop: Path, release: str, folder: Path) -> Generator[str]:
    """The address of a release of the shop, with a database of its own."""
    worktree, port = folder / release, free_port()
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(worktree), release], cwd=shop, check=True)
    environment = {
        **os.environ,
        "SHOP_DATABASE_URL": f"sqlite:///{folder}/{release}.db",
        "SHOP_PROVIDER_URL": "http://127.0.0.1:1",
        "SHOP_PROVIDER_KEY": "none",
    }
    server = subprocess.Popen([sys.executable, str(SERVE), str(worktree), str(port), release], env=environment)
    try:
        wait_for(f"http://127.0.0.1:{port}/healthz")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
        subprocess.run(["git", "worktree", "remove", "--force", str(worktree)], cwd=shop, check=True)


def wait_for(url: str) -> None:
    ends_at_s = time.monotonic() + STARTS_WITHIN_S
    while True:
        try:
            urllib.request.urlopen(url, timeout=STARTS_WITHIN_S).close()  # noqa: S310 - of our own.
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < ends_at_s, "the shop does not start"
            time.sleep(0.05)
        else:
            return


def test_sign_ups_that_all_work_pass(interlock_in: Interlock, shop: Path, tmp_path: Path) -> None:
    with served(shop, "baseline", tmp_path) as address:
        words = ("--url", f"{address}/sign-up", "--data", SIGN_UP, "--rate", "20", "--for", "1s")
        ran = interlock_in("prove", "--load", *words, "--format", "json")
    [load] = json.loads(ran.out)["loads"]
    assert (ran.code, load["verdict"], load["calls"], load["success"]) == (0, "pass", 20, 1.0)


def test_one_id_for_all_users_works_once_and_fails(interlock_in: Interlock, shop: Path, tmp_path: Path) -> None:
    with served(shop, "one-id-for-all", tmp_path) as address:
        words = ("--url", f"{address}/sign-up", "--data", SIGN_UP, "--rate", "20", "--for", "1s")
        ran = interlock_in("prove", "--load", *words)
    assert ran.code == 1
    assert "BROKEN: success 5.00% of 20 requests, where 95% are demanded" in ran.out


def test_users_of_a_locustfile_of_one_s_own_find_out_that_nobody_is_there(interlock_in: Interlock, tmp_path: Path) -> None:
    (tmp_path / "users.py").write_text(USERS)
    words = ("--url", f"http://127.0.0.1:{free_port()}", "--locustfile", "users.py", "--rate", "2", "--for", "1s")
    ran = interlock_in("prove", "--load", *words)
    assert ran.code == 1
    assert "BROKEN: success 0.00%" in ran.out
    assert "Connection refused" in ran.out


@contextmanager
def answering(answer: Callable[[int], bool]) -> Generator[str]:
    """The address of a server that asks, for each request by its number, whether to answer it at all."""
    numbers, over = itertools.count(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not answer(next(numbers)):
                over.wait()
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def loaded(interlock_in: Interlock, address: str, *words: str) -> tuple[int, dict[str, Any]]:
    ran = interlock_in("prove", "--load", "--url", address, "--format", "json", *words)
    [load] = json.loads(ran.out)["loads"]
    return ran.code, load


def test_requests_that_are_never_answered_have_failed(interlock_in: Interlock) -> None:
    """Locust tells of those alone that come back, and all of them did well."""
    with answering(lambda number: number % 10 != 0) as address:
        code, load = loaded(interlock_in, address, "--rate", "10", "--for", "4s")
    assert (code, load["calls"], load["success"]) == (1, 40, 0.9)
    assert load["failures"] == [{"error": "no answer until the end", "times": 4}]


def test_a_server_that_stands_still_for_a_while_keeps_everybody_waiting_who_came_meanwhile(interlock_in: Interlock) -> None:
    """With as few users as there is room for here, the ones who come in that time could not even ask."""
    still = threading.Lock()

    def stands_still(number: int) -> bool:
        with still:
            if number == 5:
                time.sleep(2)
        return True

    with answering(stands_still) as address:
        _, load = loaded(interlock_in, address, "--rate", "10", "--for", "4s")
    assert (load["calls"], load["success"]) == (40, 1.0)
    assert load["latency_ms"]["most"] >= 1900
    waited = [moment["p50_ms"] for moment in load["moments"] if moment["p50_ms"] > 400]
    assert len(waited) > 10  # And not the one request that was being answered.


def test_who_comes_last_to_a_slow_server_has_waited_for_all_the_others(interlock_in: Interlock) -> None:
    one_at_a_time = threading.Lock()

    def slowly(_: int) -> bool:
        with one_at_a_time:
            time.sleep(1)
        return True

    with answering(slowly) as address:
        code, load = loaded(interlock_in, address, "--rate", "4", "--for", "1s", "--success-min", "0")
    assert load["latency_ms"]["most"] >= 3000  # And not the second that its own answer took.
    assert (code, load["calls"]) == (0, 4)


TASKS = """
from locust import HttpUser, constant, task


class Visitor(HttpUser):
    wait_time = constant(0.2)

    @task
    def visit(self):
        assert self.client.get("/").text == "signed up"
"""


def test_a_task_that_raises_has_failed_though_its_request_came_back(interlock_in: Interlock, tmp_path: Path) -> None:
    (tmp_path / "users.py").write_text(TASKS)
    with answering(lambda _: True) as address:
        code, load = loaded(interlock_in, address, "--locustfile", "users.py", "--rate", "2", "--for", "2s")
    assert (code, load["verdict"]) == (1, "fail")
    assert load["failures"][0]["error"].startswith("a user's task raised AssertionError")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--load", "--url", "shop.example"), "expected http://HOST/PATH"),
        (("--load", "--url", "http://shop.example", "--success-min", "95"), "a share between 0 and 1"),
        (("--url", "http://shop.example"), "--load --url URL"),
        (("--load", "--url", "http://shop.example", "--locustfile", "nowhere.py"), "is no file"),
    ],
)
def test_mistakes_are_told(interlock_in: Interlock, words: tuple[str, ...], complaint: str) -> None:
    ran = interlock_in("prove", *words)
    assert ran.code == 2
    assert complaint in ran.err
