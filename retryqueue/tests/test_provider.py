"""The provider that payments are charged at in tests: it does what Stripe documents, and its ledger is true."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from provider import ProviderProcess, RunningProvider, running_provider
from provider_books import CARRIED_OUT, DAY_MS, DECLINES

if TYPE_CHECKING:
    from collections.abc import Iterator

ORDER = {"amount": 4999, "currency": "eur", "payment_method": "pm_1", "customer": "u1"}


class Reply(NamedTuple):
    status: int
    replayed: bool
    body: dict[str, Any]

    @property
    def error(self) -> dict[str, Any]:
        said: dict[str, Any] = self.body["error"]
        return said


@pytest.fixture
def provider() -> Iterator[RunningProvider]:
    with running_provider() as running:
        yield running


def charge(provider: RunningProvider, key: str | None, timeout_s: float = 60, api_key: str = "", **order: object) -> Reply:
    """One request to charge on a connection of its own."""
    headers = {"Authorization": f"Bearer {api_key}", **({} if key is None else {"Idempotency-Key": key})}
    connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=timeout_s)
    try:
        connection.request("POST", "/v1/charges", json.dumps({**ORDER, **order}), headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    return Reply(response.status, response.getheader("Idempotent-Replayed") == "true", json.loads(body))


def raw(provider: RunningProvider, *parts: bytes) -> bytes:
    """All that is answered to these bytes until the provider closes the connection."""
    with socket.create_connection(("127.0.0.1", provider.port), timeout=60) as client:
        for part in parts:
            client.sendall(part)
        return b"".join(iter(lambda: client.recv(65_536), b""))


def request_bytes(key: str, more: bytes = b"", body: bytes = json.dumps(ORDER).encode()) -> bytes:
    head = f"POST /v1/charges HTTP/1.1\r\nHost: provider\r\nidempotency-KEY: {key}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + more + b"\r\n" + body


LAST = b"Connection: close\r\n"


def wait_until_idle(provider: RunningProvider) -> None:
    """Until nothing that was begun can still become a charge."""
    ends = time.monotonic() + 60
    while provider.summary()["running"]:
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_a_charge_stands_in_the_ledger_with_all_that_was_asked_for(provider: RunningProvider) -> None:
    reply = charge(provider, "order-1041:1")

    assert (reply.status, reply.replayed, reply.body["status"], reply.body["paid"]) == (200, False, "succeeded", True)
    (entry,) = provider.charges()
    assert {**ORDER, "payment": "order-1041", "key": "order-1041:1", "id": reply.body["id"]}.items() <= entry.items()
    assert provider.ledger() == {"order-1041": 1}


def test_a_payment_is_the_key_up_to_its_last_colon_unless_the_metadata_names_it(provider: RunningProvider) -> None:
    charge(provider, "shop:7:order-1:2")
    charge(provider, "no-colon")
    charge(provider, "whatever:1", metadata={"payment": "order-3"})

    assert provider.ledger() == {"shop:7:order-1": 1, "no-colon": 1, "order-3": 1}


def test_the_same_key_is_answered_with_the_first_answer_and_charges_once(provider: RunningProvider) -> None:
    first, *later = [charge(provider, "order:1") for _ in range(4)]

    assert not first.replayed
    assert later == [Reply(200, replayed=True, body=first.body)] * 3
    assert provider.ledger() == {"order": 1}
    assert provider.summary()["replayed"] == 3


@pytest.mark.parametrize("mood", [*CARRIED_OUT, *DECLINES])
def test_whatever_was_carried_out_is_replayed_even_a_500_and_a_decline(provider: RunningProvider, mood: str) -> None:
    provider.plan({"order": [mood, "ok"]})

    first, later = charge(provider, "order:1"), charge(provider, "order:1")

    assert (later.status, later.body) == (first.status, first.body)
    assert (first.replayed, later.replayed) == (False, True)


def test_a_new_key_after_a_decline_is_a_new_request(provider: RunningProvider) -> None:
    provider.plan({"order": ["insufficient-funds", "ok"]})

    assert [charge(provider, f"order:{generation}").status for generation in (1, 2)] == [402, 200]
    assert provider.ledger() == {"order": 1}


@pytest.mark.parametrize("other", [{"amount": 5000}, {"currency": "usd"}, {"customer": "u2"}, {"metadata": {"a": "b"}}])
def test_the_same_key_with_other_parameters_is_an_idempotency_error(provider: RunningProvider, other: dict[str, Any]) -> None:
    first = charge(provider, "order:1")
    refused = charge(provider, "order:1", **other)

    assert (refused.status, refused.replayed, refused.error["type"]) == (400, False, "idempotency_error")
    assert charge(provider, "order:1") == Reply(200, replayed=True, body=first.body)
    assert len(provider.charges()) == 1


def test_a_key_whose_first_request_still_runs_is_a_conflict_that_is_not_saved(provider: RunningProvider) -> None:
    provider.plan({"order": ["ok@800"]})
    with ThreadPoolExecutor(1) as slow:
        first = slow.submit(charge, provider, "order:1")
        while not provider.summary()["running"]:
            time.sleep(0.005)
        conflict = charge(provider, "order:1")

    assert (conflict.status, conflict.error["code"]) == (409, "idempotency_key_in_use")
    assert first.result().status == 200
    assert charge(provider, "order:1") == Reply(200, replayed=True, body=first.result().body)
    assert provider.ledger() == {"order": 1}


def test_a_429_is_not_saved(provider: RunningProvider) -> None:
    provider.plan({"order": ["429", "ok", "429", "ok"]})

    replies = [charge(provider, "order:1") for _ in range(4)]

    assert [(reply.status, reply.replayed) for reply in replies] == [(429, False), (200, False), (429, False), (200, True)]
    assert replies[0].error["code"] == "rate_limit"
    assert provider.ledger() == {"order": 1}


def test_a_502_is_a_page_of_something_in_between_and_nothing_is_saved(provider: RunningProvider) -> None:
    provider.plan({"order": ["502"]})

    with pytest.raises(json.JSONDecodeError):
        charge(provider, "order:1")
    assert not provider.ledger()
    assert provider.summary()["answers"] == {"502": 1}
    assert not charge(provider, "order:1").replayed


@pytest.mark.parametrize("name", list(ORDER))
def test_a_request_that_lacks_something_is_refused_and_not_saved(provider: RunningProvider, name: str) -> None:
    body = json.dumps({other: value for other, value in ORDER.items() if other != name})
    connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=60)
    connection.request("POST", "/v1/charges", body, {"Idempotency-Key": "order:1"})
    response = connection.getresponse()
    error = json.loads(response.read())["error"]
    connection.close()

    assert (response.status, error["code"], error["param"]) == (400, "parameter_missing", name)
    assert not provider.ledger()
    assert charge(provider, "order:1")[:2] == (200, False)


@pytest.mark.parametrize("amount", [0, -1, 49.99, 4999.0, True, "4999", None, float("nan"), float("inf"), [1]])
def test_an_amount_that_is_no_positive_integer_is_refused(provider: RunningProvider, amount: object) -> None:
    assert charge(provider, "order:1", amount=amount).status == 400
    assert not provider.ledger()


@pytest.mark.parametrize("wrong", [{"currency": "euro"}, {"currency": "€€€"}, {"customer": " "}, {"payment_method": 7}])
def test_a_currency_or_a_name_that_is_none_is_refused(provider: RunningProvider, wrong: dict[str, Any]) -> None:
    refused = charge(provider, "order:1", **wrong)

    assert (refused.status, [refused.error["param"]]) == (400, list(wrong))
    assert not provider.ledger()


def test_a_key_of_more_than_255_characters_is_refused(provider: RunningProvider) -> None:
    assert charge(provider, "k" * 255).status == 200
    assert charge(provider, "k" * 256).status == 400
    assert len(provider.charges()) == 1


def test_a_request_without_a_key_is_charged_every_time(provider: RunningProvider) -> None:
    ids = {charge(provider, None, metadata={"payment": "order"}).body["id"] for _ in range(3)}

    assert len(ids) == 3
    assert provider.ledger() == {"order": 3}


def test_a_key_that_is_past_its_life_charges_again(provider: RunningProvider) -> None:
    charge(provider, "order:1")
    provider.forward(DAY_MS - 60_000)
    assert charge(provider, "order:1").replayed

    provider.forward(60_000)
    again = charge(provider, "order:1", amount=5000)

    assert (again.status, again.replayed) == (200, False)
    assert provider.ledger() == {"order": 2}
    assert charge(provider, "order:1", amount=5000).replayed


def test_the_life_of_a_key_can_be_short() -> None:
    with running_provider(key_life_ms=30) as provider:
        charge(provider, "order:1")
        time.sleep(0.05)

        assert not charge(provider, "order:1").replayed
        assert provider.ledger() == {"order": 2}


def test_a_provider_that_forgets_keys_charges_every_time() -> None:
    with running_provider(keys="forgotten", delay_ms=20) as provider:
        with ThreadPoolExecutor(4) as threads:
            replies = list(threads.map(lambda _: charge(provider, "order:1"), range(8)))

        assert {(reply.status, reply.replayed) for reply in replies} == {(200, False)}
        assert provider.ledger() == {"order": 8}
        assert provider.summary()["charged_more_than_once"] == {"order": 8}


def test_a_lost_reply_is_a_reset_connection_and_a_charge(provider: RunningProvider) -> None:
    provider.plan({"order": ["lost-reply"]})

    with pytest.raises(ConnectionResetError):  # An orderly end would be no error here.
        raw(provider, request_bytes("order:1"))
    assert provider.ledger() == {"order": 1}
    assert charge(provider, "order:1")[:2] == (200, True)
    assert provider.ledger() == {"order": 1}


def test_the_reply_to_a_repeat_can_be_lost_too(provider: RunningProvider) -> None:
    provider.plan({"order": ["lost-reply", "lost-reply", "ok"]})

    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            charge(provider, "order:1")
    assert charge(provider, "order:1").replayed
    assert provider.ledger() == {"order": 1}
    assert provider.summary()["answers"] == {"lost-reply": 2, "200": 1}


def test_a_lost_request_is_a_reset_connection_and_no_charge(provider: RunningProvider) -> None:
    provider.plan({"order": ["lost-request"]})

    with pytest.raises(ConnectionResetError):  # An orderly end would be no error here.
        raw(provider, request_bytes("order:1"))
    assert not provider.ledger()
    assert charge(provider, "order:1")[:2] == (200, False)


def test_a_cut_reply_breaks_off_in_the_middle_after_the_charge(provider: RunningProvider) -> None:
    provider.plan({"order": ["cut-reply"]})

    with pytest.raises(http.client.IncompleteRead) as broken_off:
        charge(provider, "order:1")
    assert broken_off.value.partial
    assert provider.ledger() == {"order": 1}


def test_a_garbage_reply_is_a_200_that_says_nothing_after_the_charge(provider: RunningProvider) -> None:
    provider.plan({"order": ["garbage-reply"]})

    with pytest.raises(json.JSONDecodeError):
        charge(provider, "order:1")
    assert provider.ledger() == {"order": 1}


@pytest.mark.parametrize(("mood", "charged"), [("500-before", {}), ("500-after", {"order": 1})])
def test_a_500_may_or_may_not_have_charged(provider: RunningProvider, mood: str, charged: dict[str, int]) -> None:
    provider.plan({"order": [mood]})

    reply = charge(provider, "order:1")

    assert (reply.status, reply.error["type"]) == (500, "api_error")
    assert provider.ledger() == charged
    assert charge(provider, "order:1") == Reply(500, replayed=True, body=reply.body)
    assert provider.ledger() == charged


def test_a_pending_charge_is_not_paid_yet(provider: RunningProvider) -> None:
    provider.plan({"order": ["pending"]})

    reply = charge(provider, "order:1")

    assert (reply.status, reply.body["status"], reply.body["paid"]) == (200, "pending", False)
    assert [entry["status"] for entry in provider.charges()] == ["pending"]


@pytest.mark.parametrize("mood", DECLINES)
def test_a_decline_names_its_codes_and_charges_nothing(provider: RunningProvider, mood: str) -> None:
    provider.plan({"order": [mood]})

    reply = charge(provider, "order:1")

    assert (reply.status, reply.error["type"]) == (402, "card_error")
    assert tuple(reply.error.get(name) for name in ("code", "decline_code", "advice_code")) == DECLINES[mood]
    assert not provider.ledger()


def test_the_plan_is_one_step_for_each_request_and_then_what_is_usual() -> None:
    with running_provider(share={"generic-decline": 1.0}) as provider:
        provider.plan({"order": ["ok", "stolen-card"]})

        replies = [charge(provider, f"order:{generation}") for generation in (1, 2, 3)]

        assert [reply.status for reply in replies] == [200, 402, 402]
        assert [reply.error["decline_code"] for reply in replies[1:]] == ["stolen_card", "generic_decline"]
        assert charge(provider, "another:1").status == 402


def test_shares_hit_the_same_requests_in_every_run_whoever_comes_first() -> None:
    shares = {"500-before": 0.2, "insufficient-funds": 0.3}
    orders = [f"order-{number}" for number in range(300)]
    seen = []
    for names, threads in ((orders, 1), (orders[::-1], 8)):
        with running_provider(share=shares, seed=7) as provider, ThreadPoolExecutor(threads) as pool:
            replies = pool.map(lambda name, provider=provider: (name, charge(provider, f"{name}:1").status), names)
            seen.append(dict(replies))

    assert seen[0] == seen[1]
    counts = {status: list(seen[0].values()).count(status) for status in (200, 402, 500)}
    assert sum(counts.values()) == 300
    assert 120 < counts[200] < 180
    assert 60 < counts[402] < 120
    assert 35 < counts[500] < 85


def test_another_seed_hits_other_requests() -> None:
    seen = []
    for seed in (1, 2):
        with running_provider(share={"429": 0.5}, seed=seed) as provider:
            seen.append([charge(provider, f"order-{number}:1").status for number in range(40)])

    assert seen[0] != seen[1]


def test_a_client_that_gives_up_is_charged_all_the_same(provider: RunningProvider) -> None:
    provider.plan({"order": ["ok@600"]})

    with pytest.raises(TimeoutError):
        charge(provider, "order:1", timeout_s=0.1)
    assert not provider.ledger()
    wait_until_idle(provider)

    assert provider.ledger() == {"order": 1}
    assert charge(provider, "order:1").replayed


def test_settings_change_while_it_runs(provider: RunningProvider) -> None:
    provider.change(share={"429": 1.0})
    assert charge(provider, "order:1").status == 429

    provider.change(share={})
    assert charge(provider, "order:1").status == 200


@pytest.mark.parametrize(
    "settings", [{"share": {"sad": 0.1}}, {"share": {"429": 0.6, "502": 0.6}}, {"keys": "lost"}, {"delay_ms": -1}, {"moods": 1}]
)
def test_settings_that_make_no_sense_are_refused(provider: RunningProvider, settings: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)), running_provider(**settings):
        pass
    with pytest.raises(ValueError, match=r"\w"):
        provider.change(**settings)
    assert charge(provider, "order:1").status == 200


@pytest.mark.parametrize("step", ["sad", "ok@soon", "ok@-1", ""])
def test_a_plan_that_makes_no_sense_is_refused_as_a_whole(provider: RunningProvider, step: str) -> None:
    with pytest.raises(ValueError, match="unknown mood"):
        provider.plan({"order": ["429"], "another": ["ok", step]})
    assert charge(provider, "order:1").status == 200


def test_a_wrong_api_key_is_refused_before_anything_else() -> None:
    with running_provider(api_key="sk_test_right") as provider:
        assert charge(provider, "order:1", api_key="sk_test_wrong").status == 401
        assert not provider.ledger()
        assert charge(provider, "order:1", api_key="sk_test_right")[:2] == (200, False)


def test_many_at_once_under_one_key_charge_once() -> None:
    with running_provider(delay_ms=5) as provider, ThreadPoolExecutor(32) as threads:
        replies = list(threads.map(lambda _: charge(provider, "order:1"), range(200)))

        assert {reply.status for reply in replies} <= {200, 409}
        assert len({reply.body["id"] for reply in replies if reply.status == 200}) == 1
        assert provider.ledger() == {"order": 1}


def test_many_at_once_under_many_keys_are_all_in_the_ledger() -> None:
    with running_provider() as provider, ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda number: charge(provider, f"order-{number % 250}:1"), range(500)))

        assert provider.ledger() == {f"order-{number}": 1 for number in range(250)}
        summary = provider.summary()
        assert (summary["charges"], summary["payments"], summary["replayed"]) == (250, 250, 250)
        assert (summary["amounts"], summary["charged_more_than_once"]) == ({"eur": 250 * 4999}, {})


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"POST\r\n\r\n",
        b"POST /v1/charges HTTP/2.0\r\n\r\n",
        b"POST http://elsewhere/v1/charges HTTP/1.1\r\n\r\n",
        b"POST /v1/charges HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /v1/charges HTTP/1.1\r\nA: b\r\n folded: line\r\n\r\n",
        b"POST /v1/charges HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/charges HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n",
        b"POST /v1/charges HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n",
        b"POST /v1/charges HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /v1/charges HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"POST /v1/charges HTTP/1.1\r\nA: " + b"a" * 20_000,
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(provider: RunningProvider, sent: bytes) -> None:
    answered = raw(provider, sent)

    assert answered.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert (answered.count(b"HTTP/1.1 "), answered.count(b"This is no request")) == (1, 1)
    assert charge(provider, "order:1").status == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"amount": ' + b"9" * 5_000 + b"}"])
def test_a_body_that_is_no_json_object_is_refused(provider: RunningProvider, body: bytes) -> None:
    answered = raw(provider, request_bytes("order:1", LAST, body))

    assert answered.startswith(b"HTTP/1.1 400 ")
    assert not provider.ledger()


def test_requests_may_come_in_pieces_or_several_at_once_and_are_answered_in_order(provider: RunningProvider) -> None:
    provider.plan({"a": ["ok@50"]})
    both = request_bytes("a:1") + request_bytes("b:1", LAST)

    for answered in (raw(provider, both), raw(provider, *(bytes([byte]) for byte in both))):
        assert answered.count(b"HTTP/1.1 200 OK") == 2
        assert answered.index(b'"payment":"a"') < answered.index(b'"payment":"b"')
    assert provider.ledger() == {"a": 1, "b": 1}


def test_a_connection_is_kept_for_many_requests(provider: RunningProvider) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=60)
    for number in range(50):
        connection.request("POST", "/v1/charges", json.dumps(ORDER), {"Idempotency-Key": f"order-{number}:1"})
        assert connection.getresponse().read()
    connection.close()

    summary = provider.summary()
    assert (summary["charges"], summary["connections"]) == (50, 2)  # This one, and the one that asks.


def test_there_is_nothing_at_another_address(provider: RunningProvider) -> None:
    assert raw(provider, b"GET /v1/charges HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 404 ")


def test_a_taken_port_is_told(provider: RunningProvider) -> None:
    with pytest.raises(OSError, match="in use"), running_provider(port=provider.port):
        pass


def test_a_provider_runs_in_a_process_of_its_own_with_the_same_settings() -> None:
    with ProviderProcess(share={"insufficient-funds": 1.0}, seed=3, key_life_ms=5_000, api_key="sk") as provider:
        assert provider.pid != os.getpid()
        assert charge(provider, "order:1").status == 401
        assert charge(provider, "order:1", api_key="sk").error["decline_code"] == "insufficient_funds"
        provider.forward(5_000)
        assert not charge(provider, "order:1", api_key="sk").replayed
    with pytest.raises(ConnectionRefusedError):
        provider.ledger()


def test_a_process_that_cannot_start_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="did not start"):
        ProviderProcess(share={"sad": 1.0})
    assert "unknown mood 'sad'" in capfd.readouterr().err


def test_a_provider_process_does_not_outlive_the_one_that_started_it() -> None:
    starts_one = "import provider; p = provider.ProviderProcess(); print(p.port, flush=True); input()"
    command = [sys.executable, "-c", starts_one]
    folder = Path(__file__).parent
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder) as parent:
        assert parent.stdout is not None
        provider = RunningProvider(int(parent.stdout.readline()))
        assert not provider.ledger()
        parent.send_signal(signal.SIGKILL)

    with pytest.raises(ConnectionError):
        ask_for_seconds(provider, 10)


def ask_for_seconds(provider: RunningProvider, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        provider.ledger()
        time.sleep(0.02)
