from __future__ import annotations

import asyncio
import http.client
import http.server
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import pytest
import requests
import urllib3

from interlock.core.verdict import Verdict
from interlock.prove.contract import contract
from interlock.prove.explore import prove
from interlock.prove.invariant import Invariant
from interlock.prove.wire.http_wire import Answer, Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from interlock.prove.explore import Proof
    from interlock.prove.world import World

BANK = "https://bank.example"


@pytest.fixture(autouse=True)
def _a_redis() -> None:
    if not shutil.which("redis-server") and not shutil.which("valkey-server"):
        message = "NOT RUN: no redis-server on this machine (make servers)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


def told_of(task: Callable[[], object], answer: Callable[[Request], Answer]) -> tuple[object, list[Request], Proof]:
    """What a task of one worker gives back, what the address was asked, and the proof."""
    asked, gave = list[Request](), list[object]()

    @contract(workers=1, faults=0)
    def asks(world: World) -> None:
        asked.clear()
        gave.clear()

        def noted(request: Request) -> Answer:
            asked.append(request)
            return answer(request)

        world.http(BANK, noted)
        world.run(lambda: gave.append(task()))
        world.recover(lambda: None, times=1)
        world.check(Invariant("it ends", lambda: None if gave else "it raises"))

    proof = prove(asks, budget_s=60)
    return gave[0] if gave else None, list(asked), proof


def fine(_: Request) -> Answer:
    return Answer(200, {"state": "open"})


def by_requests(method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    answer = requests.request(method, BANK + path, data=body, timeout=5)
    return answer.status_code, answer.content


def by_urllib3(method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    with urllib3.PoolManager() as pool:
        answer = pool.request(method, BANK + path, body=body, timeout=5, retries=False)
        return answer.status, answer.data


def by_httpx(method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    answer = httpx.request(method, BANK + path, content=body, timeout=5)
    return answer.status_code, answer.content


def by_http_client(method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    connection = http.client.HTTPSConnection("bank.example", timeout=5)
    connection.request(method, path, body, encode_chunked=True)
    answer = connection.getresponse()
    status, content = answer.status, answer.read()
    connection.close()
    return status, content


def by_aiohttp(method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    async def in_parts() -> AsyncIterator[bytes]:
        for part in body:
            yield part

    async def ask() -> tuple[int, bytes]:
        limit = aiohttp.ClientTimeout(total=5, ceil_threshold=60)  # From there on it rounds.
        data = body if body is None or isinstance(body, bytes) else in_parts()
        async with aiohttp.ClientSession(timeout=limit) as session, session.request(method, BANK + path, data=data) as answer:
            return answer.status, await answer.read()

    return asyncio.run(ask())


CLIENTS = pytest.mark.parametrize("ask", [by_requests, by_urllib3, by_httpx, by_http_client, by_aiohttp])


@CLIENTS
def test_every_client_is_answered_over_https(ask: Callable[..., Any]) -> None:
    told, asked, proof = told_of(lambda: ask("POST", "/transfers?dry=1", b"ten"), fine)

    assert (proof.verdict, told) == (Verdict.PASS, (200, b'{"state": "open"}'))
    assert [(request.method, request.path, request.body) for request in asked] == [("POST", "/transfers?dry=1", b"ten")]


def parts() -> Iterator[bytes]:
    yield from (b"a" * 10_000, b"b")


@CLIENTS
def test_a_body_in_chunks_arrives_whole(ask: Callable[..., Any]) -> None:
    _, asked, proof = told_of(lambda: ask("POST", "/", parts()), fine)

    assert proof.verdict is Verdict.PASS
    assert [request.body for request in asked] == [b"a" * 10_000 + b"b"]
    assert asked[0].headers["transfer-encoding"] == "chunked"


@CLIENTS
@pytest.mark.parametrize(("method", "answer", "expected"), [("HEAD", Answer(200, "long"), 200), ("DELETE", Answer(204), 204)])
def test_an_answer_without_a_body_has_none(ask: Callable[..., Any], method: str, answer: Answer, expected: int) -> None:
    told, _, proof = told_of(lambda: ask(method, "/"), lambda _: answer)

    assert (proof.verdict, told) == (Verdict.PASS, (expected, b""))


@CLIENTS
@pytest.mark.parametrize("status", [404, 429, 500, 599])
def test_an_answer_has_any_status(ask: Callable[..., Any], status: int) -> None:
    told, _, _ = told_of(lambda: ask("GET", "/"), lambda _: Answer(status, b"\x00no", {"Retry-After": "7"}))

    assert told == (status, b"\x00no")


def test_a_session_keeps_its_connection() -> None:
    def twice() -> list[int]:
        with requests.Session() as session:
            return [session.get(BANK, timeout=5).status_code, session.get(BANK, timeout=5).status_code]

    assert told_of(twice, fine)[0] == [200, 200]


def test_a_client_that_ends_its_connection_sees_its_end() -> None:
    def closing() -> tuple[int, bytes]:
        answer = requests.get(BANK, headers={"Connection": "close"}, timeout=5, stream=True)
        raw = answer.raw.read(decode_content=False)
        return answer.status_code, raw + answer.raw.read()

    assert told_of(closing, fine)[0] == (200, b'{"state": "open"}')


def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    def careful() -> int:
        connection = http.client.HTTPSConnection("bank.example", timeout=5)
        connection.putrequest("PUT", "/")
        connection.putheader("Expect", "100-continue")
        connection.putheader("Content-Length", "4")
        connection.endheaders()
        interim = connection.sock.recv(100)
        assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b"data")
        with connection.getresponse() as answer:
            return answer.status

    told, asked, _ = told_of(careful, fine)

    assert told == 200
    assert [request.body for request in asked] == [b"data"]


HANGS: list[tuple[Callable[..., Any], type[Exception]]] = [
    (by_requests, requests.exceptions.ReadTimeout),
    (by_urllib3, urllib3.exceptions.ReadTimeoutError),
    (by_httpx, httpx.ReadTimeout),
    (by_http_client, TimeoutError),
    (by_aiohttp, TimeoutError),
]


@pytest.mark.parametrize(("ask", "expected"), HANGS)
def test_an_answer_that_never_comes_is_the_client_s_own_timeout_in_virtual_time(
    ask: Callable[..., Any], expected: type[Exception]
) -> None:
    def patient() -> float:
        began = time.monotonic()
        with pytest.raises(expected):
            ask("GET", "/")
        return time.monotonic() - began

    told, asked, proof = told_of(patient, lambda _: Answer(hangs=True))

    assert proof.verdict is Verdict.PASS
    assert told == pytest.approx(5.0)  # An event loop adds a millionth.
    assert len(asked) == 1


def test_who_waits_for_ever_for_an_answer_is_not_a_pass() -> None:
    _, _, proof = told_of(lambda: requests.get(BANK, timeout=None), lambda _: Answer(hangs=True))  # noqa: S113 - that is the point.

    assert proof.verdict is not Verdict.PASS


def test_http_2_is_not_guessed_at() -> None:
    def newer() -> None:
        connection = http.client.HTTPSConnection("bank.example", timeout=5)
        connection.connect()
        connection.sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    proof = told_of(newer, fine)[2]

    assert proof.verdict is Verdict.UNKNOWN
    assert "HTTP/2 to bank.example" in proof.reason


def test_a_pinned_certificate_is_unknown() -> None:
    def pinned() -> int:
        with urllib3.PoolManager(assert_fingerprint="00" * 32) as pool:
            return pool.request("GET", BANK, timeout=5, retries=False).status

    proof = told_of(pinned, fine)[2]

    assert proof.verdict is Verdict.UNKNOWN
    assert "the certificate of bank.example" in proof.reason


def test_a_server_in_a_worker_is_unknown() -> None:
    def listens() -> None:
        http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)

    proof = told_of(listens, fine)[2]

    assert proof.verdict is Verdict.UNKNOWN
    assert "listens on" in proof.reason
