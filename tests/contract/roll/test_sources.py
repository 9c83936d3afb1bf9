"""Sources beside the router: files, posts, and a real Prometheus."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest

from interlock.core.errors import UsageError, WorldError
from interlock.core.verdict import Verdict
from interlock.roll.buckets import user_hash
from interlock.roll.judge import Arm
from interlock.roll.rollback import Rollback, serves
from interlock.roll.shares import Shares
from interlock.roll.sources import BusinessEvent, Count, Reading
from interlock.roll.sources.business import Business, Posted
from interlock.roll.sources.exposition import Exposition
from interlock.roll.sources.haproxy_log import listening
from interlock.roll.sources.prometheus import Prometheus
from interlock.roll.sources.tail import Tail
from tests.contract.roll.conftest import needed, wait_until
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


LINE = "interlock 1 7 canary 503 -- 12 77 100\n"
SALT = "a1b2"


def test_a_log_file_is_read_from_its_end_and_across_rotation(tmp_path: Path) -> None:
    path = tmp_path / "haproxy.log"
    path.write_text(LINE * 3, encoding="utf-8")
    log = listening(str(path))
    assert list(log.poll()) == []
    with path.open("a", encoding="utf-8") as file:
        file.write(f"Oct 17 14:43:01 host haproxy[1]: {LINE}{LINE[:20]}")
        file.flush()
        assert [event.failed for event in log.poll()] == [True]
        file.write(LINE[20:])
    path.rename(tmp_path / "haproxy.log.1")
    path.write_text(LINE.replace("503", "200"), encoding="utf-8")
    assert [event.failed for event in log.poll()] == [True, False]
    log.close()


def test_a_file_that_comes_later_is_read_from_its_beginning(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "orders.jsonl")
    assert list(tail.read()) == []
    (tmp_path / "orders.jsonl").write_text("one\ntwo\n", encoding="utf-8")
    assert list(tail.read()) == [b"one", b"two"]
    (tmp_path / "orders.jsonl").write_text("3\n", encoding="utf-8")  # Cut off and begun anew.
    assert list(tail.read()) == [b"3"]
    tail.close()


def test_the_log_comes_over_udp_as_well() -> None:
    address = f"127.0.0.1:{free_port()}"
    log = listening(address)
    host, port = address.split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"<134>" + LINE.encode(), (host, int(port)))
        sender.sendto(b"something else", (host, int(port)))
    heard: list[object] = []
    wait_until(lambda: _more(heard, log.poll()))
    log.close()
    assert len(heard) == 1


def _more(heard: list[Any], new: Sequence[Any]) -> bool:
    """Adds what is new, and tells whether anything was heard so far."""
    heard += new
    return bool(heard)


def test_lost_lines_are_noticed_and_too_many_are_trouble(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    log = listening(str(path))
    with path.open("a", encoding="utf-8") as file:
        for numbers, lost in (([1, 2], 0), ([3, 5, 6], 1), ([7], 1)):
            file.write("".join(LINE.replace("1 7", f"1 {number}") for number in numbers))
            file.flush()
            log.poll()
            assert log.lost == lost
        file.write(LINE.replace("1 7", "1 70"))
        file.flush()
        with pytest.raises(WorldError, match="lost 62 of 63"):
            log.poll()
    log.close()


@pytest.mark.parametrize(
    ("status", "ended", "failed"),
    [(503, "--", True), (404, "--", False), (-1, "sC", True), (-1, "CD", False), (200, "CD", False)],
)
def test_a_client_that_goes_away_is_no_failure_of_the_version(tmp_path: Path, status: int, ended: str, failed: bool) -> None:  # noqa: FBT001 - a row of the table above.
    path = tmp_path / "log"
    path.touch()
    log = listening(str(path))
    path.write_text(f"interlock 1 1 baseline {status} {ended} 12 - 100\n", encoding="utf-8")
    assert [event.failed for event in log.poll()] == [failed]
    log.close()


def order(user: str, *, exposed_at: float | None = None, name: str = "orders") -> str:
    return json.dumps({"name": name, "user": user} | ({} if exposed_at is None else {"exposed_at": exposed_at})) + "\n"


Opened = Callable[..., Business]


@pytest.fixture
def business(tmp_path: Path) -> Iterator[Opened]:
    """Opens business events that come as lines of the file `f`."""
    with ExitStack() as stack:

        def opened() -> Business:
            (tmp_path / "f").touch()
            source = Business(Tail(tmp_path / "f"), salt=SALT, lag_s=30.0)
            stack.callback(source.close)
            return source

        yield opened


def test_an_order_tells_its_user_and_when_that_one_was_exposed_if_it_knows(tmp_path: Path, business: Opened) -> None:
    source = business()
    (tmp_path / "f").write_text(order("4711", exposed_at=17.5) + order("4711"), encoding="utf-8")
    told = BusinessEvent(name="orders", user=user_hash("4711", SALT), exposed_s=17.5, lag_s=30.0)
    assert source.poll() == [told, replace(told, exposed_s=None)]


@pytest.mark.parametrize(
    "line", ["orders", "[" * 100_000, '{"name": "orders"}', '["orders"]', '{"name": "o", "user": "1", "exposed_at": "noon"}']
)
def test_a_line_that_is_no_event_is_told_as_what_it_is(tmp_path: Path, business: Opened, line: str) -> None:
    source = business()
    (tmp_path / "f").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(WorldError, match="expected"):
        source.poll()


def test_events_can_be_posted() -> None:
    posted = Posted(0)
    source = Business(posted, salt=SALT, lag_s=1)
    body = (order("1") + order("2")).encode()
    with urlopen(Request(f"http://127.0.0.1:{posted.port}/", data=body, method="POST")) as answer:
        assert answer.status == 204
    assert [event.user for event in source.poll()] == [user_hash("1", SALT), user_hash("2", SALT)]
    source.close()


class Shop(BaseHTTPRequestHandler):
    """Something to scrape: a counter and a gauge a side."""

    orders = 0

    def do_GET(self) -> None:
        body = "".join(
            f'orders_total{{version="{side}"}} {Shop.orders * factor}\nin_use{{version="{side}"}} {factor}\n'
            for side, factor in (("old", 10), ("new", 1))
        )
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by the server.
        """Says nothing."""


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    program, port = needed("prometheus"), free_port()
    with ThreadingHTTPServer(("127.0.0.1", 0), Shop) as shop:
        Thread(target=shop.serve_forever, daemon=True).start()
        settings = tmp_path / "prometheus.yml"
        settings.write_text(
            "global: {scrape_interval: 1s}\nscrape_configs: [{job_name: shop, static_configs: "
            f'[{{targets: ["127.0.0.1:{shop.server_address[1]}"]}}]}}]\n',
            encoding="utf-8",
        )
        listen, data = f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={tmp_path / 'data'}"
        with subprocess.Popen([program, f"--config.file={settings}", listen, data], stderr=subprocess.DEVNULL) as process:
            yield f"http://127.0.0.1:{port}"
            process.terminate()
        shop.shutdown()


def test_prometheus_tells_gauges_and_what_was_counted(prometheus: str) -> None:
    source = Prometheus(
        url=prometheus,
        gauges={("in use", Arm.CANARY): 'in_use{version="new"}', ("absent", Arm.CANARY): "nothing"},
        counters={
            ("orders", side): f'orders_total{{version="{version}"}}' for side, version in zip(Arm, ("old", "new"), strict=True)
        },
        shares=Shares([(0.0, 1000)]),
    )
    wait_until(lambda: _heard(source), limit_s=60)
    Shop.orders += 5
    counted: list[Count | Reading] = []
    wait_until(lambda: _more(counted, source.poll()) and sum(_totals(counted)) > 0)
    assert _totals(counted) == [50, 5]
    assert [(found.name, found.value) for found in source.poll() if isinstance(found, Reading)] == [("in use", 1.0)]
    with pytest.raises(WorldError, match="gives 2 series"):
        Prometheus(url=prometheus, gauges={("x", Arm.CANARY): "in_use"}, counters={}, shares=Shares([])).poll()


def _heard(source: Prometheus) -> bool:
    try:
        return bool(source.poll())
    except WorldError:
        return False


def _totals(counted: Sequence[Count | Reading]) -> list[int]:
    return [sum(count.total for count in counted if isinstance(count, Count) and count.arm is side) for side in Arm]


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that says the same to everybody, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    with listener.accept()[0] as connection:
                        connection.recv(65536)
                        connection.sendall(answer)

        Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def said(body: str) -> bytes:
    return f"HTTP/1.0 200 OK\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
        said("[]"),
        said('{"data": {"resultType": "vector", "result": [{"value": "x"}]}}'),
        said("[" * 100_000),
        said('{"data": {"resultType": "scalar", "result": []}}'),
    ],
)
def test_a_prometheus_that_dies_or_answers_in_another_form_is_silent_and_ends_nothing(answer: bytes) -> None:
    with answering(answer) as url, pytest.raises(WorldError):
        Prometheus(url=url, gauges={("x", Arm.CANARY): "x"}, counters={}, shares=Shares([])).poll()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nin_use 1", said("in_use many\n")])
def test_a_canary_that_dies_while_it_tells_its_metrics_is_silent_and_ends_nothing(answer: bytes) -> None:
    with answering(answer) as url, pytest.raises(WorldError):
        Exposition(url, "in_use").poll()


def test_what_is_no_number_is_not_within_any_limit() -> None:
    with answering(said("in_use NaN\n")) as url:
        assert not Exposition(url, "in_use").poll()


def test_an_old_version_that_dies_while_it_is_asked_has_not_come_back() -> None:
    with answering(b"") as url:
        assert serves(Rollback(version_url=url, version="v41")).verdict is Verdict.FAIL


@pytest.mark.parametrize(("said_version", "verdict"), [("v4", "pass"), ("shop:v4", "pass"), ("v41", "fail"), ("v4.1", "fail")])
def test_another_version_that_begins_alike_is_not_the_old_one(said_version: str, verdict: str) -> None:
    with answering(said(f'{{"version": "{said_version}"}}')) as url:
        assert serves(Rollback(version_url=url, version="v4")).verdict == verdict


def test_a_prometheus_that_is_away_is_an_error() -> None:
    source = Prometheus(url=f"http://127.0.0.1:{free_port()}", gauges={("x", Arm.CANARY): "x"}, counters={}, shares=Shares([]))
    with pytest.raises(WorldError, match="did not answer"):
        source.poll()
    with pytest.raises(UsageError, match="expected http"):
        Prometheus(url="file:///etc/passwd", gauges={}, counters={}, shares=Shares([]))
