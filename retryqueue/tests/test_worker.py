"""Workers on real servers: what they charge and when, how they end, and what they live through."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import redis
import redis.asyncio
from provider import ProviderProcess
from servers import RedisServer, free_port
from worker_process import Journal, Workers, WorkerSettings

from retryqueue import (
    Ambiguous,
    Breaker,
    Declined,
    Payment,
    Policy,
    RetryQueue,
    ServerRefused,
    State,
    Succeeded,
    Worker,
    protocol,
    shift,
)
from retryqueue.events import BreakerMoved, Claimed, LeasesLost, Told
from retryqueue.server import Server
from retryqueue.shards import Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from retryqueue import Item, Lease, Outcome

FORMS = ("threads", "asyncio")
# A machine that does ten things at once takes its time; only what never comes true waits for so long.
LONGEST_WAIT_S = 60.0
# No lease ends in a test that does not mean it to, however long this machine takes.
FAST = Policy(lease_ms=60_000, backoff_base_ms=1, backoff_cap_ms=1)
SHORT = Policy(lease_ms=600, backoff_base_ms=1, backoff_cap_ms=1)

both_forms = pytest.mark.parametrize("form", FORMS)


def charging(form: str, decide: Callable[[Lease], Any], takes_s: float = 0.0) -> Callable[[Lease], Any]:
    """A charge function in one of the two forms, which takes some time and then answers as `decide` does."""

    def plain(lease: Lease) -> Outcome:
        time.sleep(takes_s)
        return decide(lease)  # type: ignore[no-any-return]

    async def coroutine(lease: Lease) -> Outcome:
        await asyncio.sleep(takes_s)
        return decide(lease)  # type: ignore[no-any-return]

    return plain if form == "threads" else coroutine


def holding(form: str, decide: Callable[[Lease], Any], goes_on: threading.Event) -> Callable[[Lease], Any]:
    """A charge function that decides at once and answers when it is let go on."""

    def plain(lease: Lease) -> Outcome:
        decided = decide(lease)
        goes_on.wait(LONGEST_WAIT_S)
        return decided  # type: ignore[no-any-return]

    async def coroutine(lease: Lease) -> Outcome:
        return await asyncio.to_thread(plain, lease)

    return plain if form == "threads" else coroutine


def paid(lease: Lease) -> Outcome:
    return Succeeded(f"ch_{lease.key}")


@dataclass
class Working:
    """A worker that runs in a thread of its own."""

    worker: Worker
    ended: Future[None]


@contextmanager
def working(server: RedisServer, charge: Callable[[Lease], Any], **settings: Any) -> Iterator[Working]:
    """Runs a worker until the block ends; then it must end without an error, unless `ended` has been asked."""
    worker = Worker(server.url, charge, durability="ignore", **{"policy": FAST, **settings})
    running = Working(worker, in_background(worker.run))
    try:
        yield running
    finally:
        worker.stop()
    if not running.ended.done():
        running.ended.result(timeout=LONGEST_WAIT_S)


def in_background(run: Callable[[], None]) -> Future[None]:
    """Runs something in a thread that does not hold up the end of the tests, should it never end."""
    ended: Future[None] = Future()

    def carry_out() -> None:
        try:
            ended.set_result(run())  # type: ignore[func-returns-value]
        except BaseException as error:  # noqa: BLE001 - the test looks at it.
            ended.set_exception(error)

    threading.Thread(target=carry_out, daemon=True).start()
    return ended


def until(holds: Callable[[], object], within_s: float = LONGEST_WAIT_S) -> None:
    """Waits until something holds, and fails if it does not."""
    ends_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends_s, "it did not come true"
        time.sleep(0.01)


def orders(count: int) -> list[Payment]:
    usual: dict[str, Any] = {"user_id": "u1", "amount_minor": 4999, "currency": "EUR", "payment_method_id": "pm_1"}
    return [Payment(key=f"order-{number}", **usual) for number in range(count)]


def item(queue: RetryQueue, key: str) -> Item:
    found = queue.inspect(key)
    assert found is not None
    return found


def counts(queue: RetryQueue) -> dict[State, int]:
    return {state: count for state, count in queue.status().counts.items() if count}


def server_ms(server: RedisServer) -> float:
    with server.client() as client:
        seconds, microseconds = client.time()
    return float(seconds * 1000 + microseconds / 1000)


class Diary:
    """Notes which attempts began, and decides how they end: by the payment's list of outcomes, the last one for ever."""

    def __init__(self, outcomes: dict[str, Sequence[Any]] | None = None) -> None:
        self.begun: list[Lease] = []
        self.at_s: list[float] = []
        self._outcomes = outcomes or {}

    def __call__(self, lease: Lease) -> Any:
        """Notes one attempt and answers it."""
        self.begun.append(lease)
        self.at_s.append(time.monotonic())
        outcomes = self._outcomes.get(lease.key, [paid(lease)])
        outcome = outcomes[min(sum(begun.key == lease.key for begun in self.begun), len(outcomes)) - 1]
        return outcome(lease) if callable(outcome) else outcome

    def sent(self, key: str) -> list[str]:
        """The provider keys that were sent for a payment, by attempt."""
        return [f"{lease.attempt} {lease.provider_key}" for lease in self.begun if lease.key == key]


def raising(error: BaseException) -> Callable[[Lease], Outcome]:
    def charge(_: Lease) -> Outcome:
        raise error

    return charge


AMBIGUOUS, DECLINED, FINAL = Ambiguous("HTTP 500"), Declined("insufficient_funds"), Declined("stolen_card", final=True)
HISTORIES: dict[str, tuple[list[Any], list[str], State, str]] = {
    "paid": ([paid], ["1 {}:1"], State.SUCCEEDED, "ch_{}"),
    "unknown-then-paid": ([AMBIGUOUS, paid], ["1 {}:1", "2 {}:1"], State.SUCCEEDED, "ch_{}"),
    "declined-then-paid": ([DECLINED, paid], ["1 {}:1", "2 {}:2"], State.SUCCEEDED, "ch_{}"),
    "declined-unknown-paid": ([DECLINED, AMBIGUOUS, paid], ["1 {}:1", "2 {}:2", "3 {}:2"], State.SUCCEEDED, "ch_{}"),
    "stolen": ([FINAL], ["1 {}:1"], State.DEAD, "stolen_card"),
    "unknown-then-stolen": ([AMBIGUOUS, FINAL], ["1 {}:1", "2 {}:1"], State.DEAD, "stolen_card"),
    "declined": ([DECLINED], ["1 {}:1", "2 {}:2", "3 {}:3"], State.DEAD, "attempt 3 of 3: insufficient_funds"),
    "unknown": ([AMBIGUOUS], ["1 {}:1", "2 {}:1", "3 {}:1"], State.RECONCILE, "attempt 3 of 3: HTTP 500"),
    "declined-then-unknown": (
        [DECLINED, AMBIGUOUS],
        ["1 {}:1", "2 {}:2", "3 {}:2"],
        State.RECONCILE,
        "attempt 3 of 3: HTTP 500",
    ),
    "unknown-then-declined": (
        [AMBIGUOUS, AMBIGUOUS, DECLINED],
        ["1 {}:1", "2 {}:1", "3 {}:1"],
        State.DEAD,
        "attempt 3 of 3: insufficient_funds",
    ),
    "raised": (
        [raising(TimeoutError("no answer"))],
        ["1 {}:1", "2 {}:1", "3 {}:1"],
        State.RECONCILE,
        "attempt 3 of 3: TimeoutError: no answer",
    ),
}


@both_forms
def test_plain_and_coroutine_charge_functions_give_payments_the_same_history(
    server: RedisServer, queue: RetryQueue, form: str
) -> None:
    diary = Diary({key: outcomes for key, (outcomes, _, _, _) in HISTORIES.items()})
    queue = RetryQueue(server.url, durability="ignore", policy=Policy(attempts=3))
    policy = Policy(attempts=3, lease_ms=2_000, backoff_base_ms=1, backoff_cap_ms=1)
    with queue, working(server, charging(form, diary), policy=policy):
        usual: dict[str, Any] = {"user_id": "u1", "amount_minor": 1, "currency": "EUR", "payment_method_id": "pm_1"}
        queue.enqueue_many([Payment(key=key, **usual) for key in HISTORIES])
        until(lambda: set(counts(queue)) <= {State.SUCCEEDED, State.DEAD, State.RECONCILE})

        for key, (_, sent, state, note) in HISTORIES.items():
            found = item(queue, key)
            assert (diary.sent(key), found.state, found.note) == ([text.format(key) for text in sent], state, note.format(key))


class UnprintableError(Exception):
    """An error that cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


ODD: dict[str, Any] = {
    "ValueError: wrong": raising(ValueError("wrong")),
    "CancelledError": raising(asyncio.CancelledError()),
    "SystemExit": raising(SystemExit(0)),
    "UnprintableError": raising(UnprintableError()),
    "text that is none": raising(FileNotFoundError("/bad/\udcff\ud800")),
    "NoneType": None,
    "str": "paid",
    "type": Succeeded,
    "bool": True,
    "a reason that is none": Ambiguous(None),  # type: ignore[arg-type]
    "a reason of lone surrogates": Ambiguous("\ud800"),
    "a very long reason": Ambiguous("x" * 1_000_000),
}


@both_forms
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_whatever_a_charge_function_does_the_outcome_is_unknown_and_the_worker_goes_on(
    server: RedisServer, queue: RetryQueue, form: str, odd: object
) -> None:
    diary = Diary({"order-0": [lambda lease: odd(lease) if callable(odd) and not isinstance(odd, type) else odd]})
    with working(server, charging(form, diary)) as running:
        queue.enqueue_many(orders(2))
        until(lambda: running.ended.done() or set(counts(queue)) <= {State.SUCCEEDED, State.RECONCILE})

        assert not running.ended.done(), running.ended.exception()
        assert (item(queue, "order-0").state, item(queue, "order-1").state) == (State.RECONCILE, State.SUCCEEDED)
        assert diary.sent("order-0") == [f"{attempt} order-0:1" for attempt in range(1, 6)]
        assert item(queue, "order-0").note.startswith("attempt 5 of 5: ")


@both_forms
@pytest.mark.parametrize(
    ("odd", "state"),
    [
        (Succeeded("\ud800"), State.SUCCEEDED),
        (Succeeded(None), State.SUCCEEDED),  # type: ignore[arg-type]
        (Succeeded(17), State.SUCCEEDED),  # type: ignore[arg-type]
        (Succeeded("x" * 100_000), State.SUCCEEDED),
        (Declined("\ud800", final=True), State.DEAD),
        (Declined(None, final=True), State.DEAD),  # type: ignore[arg-type]
    ],
)
def test_an_odd_text_in_an_outcome_does_not_undo_the_outcome(
    server: RedisServer, queue: RetryQueue, form: str, odd: Outcome, state: State
) -> None:
    with working(server, charging(form, Diary({"order-0": [odd]}))) as running:
        queue.enqueue_many(orders(1))
        until(lambda: running.ended.done() or set(counts(queue)) <= {State.SUCCEEDED, State.DEAD, State.RECONCILE})

        assert not running.ended.done(), running.ended.exception()
        assert item(queue, "order-0").state == state


@both_forms
def test_a_stopped_worker_finishes_what_it_charges_and_gives_back_the_rest_at_no_cost(
    server: RedisServer, queue: RetryQueue, form: str
) -> None:
    diary, goes_on = Diary(), threading.Event()
    queue.enqueue_many(orders(6))
    with working(server, holding(form, diary, goes_on), concurrency=2, prefetch=4) as running:
        until(lambda: counts(queue).get(State.LEASED) == 6 and len(diary.begun) == 2)
        running.worker.stop()
        goes_on.set()
        running.ended.result(timeout=LONGEST_WAIT_S)

    assert counts(queue) == {State.SUCCEEDED: 2, State.SCHEDULED: 4}
    given_back = list(queue.items(State.SCHEDULED))
    assert {(found.limit - found.attempt, found.generation) for found in given_back} == {(5, 1)}
    with working(server, charging(form, diary)):
        until(lambda: counts(queue) == {State.SUCCEEDED: 6})
    assert Counter(lease.key for lease in diary.begun) == {f"order-{number}": 1 for number in range(6)}
    assert {lease.generation for lease in diary.begun} == {1}


def test_a_payment_that_was_given_back_has_all_of_its_attempts_still(server: RedisServer, queue: RetryQueue) -> None:
    queue.enqueue_many(orders(3))
    for done in (1, 2, 3):
        stop_after_one(server, queue, claimed=4 - done)
        assert counts(queue).get(State.SUCCEEDED) == done

    queue.enqueue_many(orders(6))
    stop_after_one(server, queue, claimed=3)
    diary = Diary({f"order-{number}": [AMBIGUOUS] for number in range(6)})
    with working(server, charging("asyncio", diary)):
        until(lambda: counts(queue).get(State.RECONCILE) == 2)
    tried = Counter(lease.key for lease in diary.begun)
    assert set(tried.values()) == {5}


def stop_after_one(server: RedisServer, queue: RetryQueue, claimed: int) -> None:
    """Runs a worker that holds so many payments, charges the first and gives the others back."""
    diary, goes_on = Diary(), threading.Event()
    with working(server, holding("asyncio", diary, goes_on), concurrency=1, prefetch=2) as running:
        until(lambda: counts(queue).get(State.LEASED) == claimed and diary.begun)
        running.worker.stop()
        goes_on.set()
        running.ended.result(timeout=LONGEST_WAIT_S)


@pytest.fixture
def provider() -> Iterator[ProviderProcess]:
    with ProviderProcess() as running:
        yield running


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Workers() as running:
        yield running


@dataclass
class Outside:
    """Worker processes of one test, which charge over HTTP."""

    workers: Workers
    settings: dict[str, Any]
    path: Path

    def start(self, form: str, **changed: Any) -> int:
        return self.workers.start(WorkerSettings(**{**self.settings, "form": form, **changed}))

    def journal(self) -> Journal:
        return Journal.read(self.path)


@pytest.fixture
def outside(server: RedisServer, provider: ProviderProcess, workers: Workers, tmp_path: Path) -> Outside:
    path = tmp_path / "journal"
    settings = {
        "redis_url": server.url,
        "provider_url": provider.url,
        "journal": str(path),
        "policy": {"lease_ms": 1_000, "backoff_base_ms": 1, "backoff_cap_ms": 1},
        "concurrency": 2,
    }
    return Outside(workers, settings, path)


@both_forms
def test_sigterm_ends_a_worker_process_which_finishes_what_it_charges(
    queue: RetryQueue, outside: Outside, provider: ProviderProcess, form: str
) -> None:
    provider.change(delay_ms=300)
    queue.enqueue_many(orders(40))
    pid = outside.start(form, policy={"lease_ms": 60_000})
    until(lambda: outside.journal().begun)

    assert outside.workers.stop(pid) == 0

    begun = len(outside.journal().begun)
    assert len(provider.ledger()) == begun
    assert outside.journal().cut_off == 0
    assert counts(queue) == {State.SUCCEEDED: begun, State.SCHEDULED: 40 - begun}
    assert {found.limit - found.attempt for found in queue.items(State.SCHEDULED)} == {5}


@both_forms
def test_a_killed_workers_payment_starts_again_once_its_lease_has_ended_and_not_before(
    server: RedisServer, queue: RetryQueue, outside: Outside, provider: ProviderProcess, form: str
) -> None:
    provider.plan({"order-0": ["ok@5000"]})
    queue.enqueue_many(orders(1))
    pid = outside.start(form)
    until(lambda: len(outside.journal().begun) == 1)
    assert outside.workers.kill(pid) == -9
    lease_ends_ms = item(queue, "order-0").since_ms
    began_ms: list[float] = []

    def charge(lease: Lease) -> Outcome:
        began_ms.append(server_ms(server))
        assert lease.provider_key == "order-0:1"
        return Succeeded("ch_1")

    with working(server, charge):
        until(lambda: item(queue, "order-0").state == State.SUCCEEDED)

    assert item(queue, "order-0").attempt == 2
    assert lease_ends_ms <= began_ms[0]


@both_forms
def test_a_lease_is_extended_while_a_charge_takes_longer_than_it(server: RedisServer, queue: RetryQueue, form: str) -> None:
    diary = Diary()
    told: list[object] = []
    queue.enqueue_many(orders(4))
    settings: dict[str, Any] = {"concurrency": 4, "hook": told.append, "policy": Policy(lease_ms=2_000)}
    slow = charging(form, diary, takes_s=3.0)
    with working(server, slow, **settings), working(server, slow, **settings):
        until(lambda: counts(queue) == {State.SUCCEEDED: 4})

    assert len(diary.begun) == 4
    assert {lease.attempt for lease in diary.begun} == {1}
    assert [event for event in told if isinstance(event, Told)] == [Told("succeed", "ok")] * 4
    assert not [event for event in told if isinstance(event, LeasesLost)]


@both_forms
def test_the_verdict_of_a_worker_that_slept_through_its_lease_is_lost(
    server: RedisServer, queue: RetryQueue, outside: Outside, provider: ProviderProcess, form: str
) -> None:
    provider.plan({"order-0": ["ok@2000", "insufficient-funds"]})
    queue.enqueue_many(orders(1))
    pid = outside.start(form)
    until(lambda: len(outside.journal().begun) == 1)
    os.kill(pid, signal.SIGSTOP)
    try:
        with working(server, lambda _: Declined("stolen_card", final=True)):
            until(lambda: item(queue, "order-0").state == State.DEAD)
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: ("order-0", 1) in outside.journal().late)

    found = item(queue, "order-0")
    assert (found.state, found.attempt, found.note) == (State.DEAD, 2, "stolen_card")
    assert outside.workers.stop(pid) == 0


@both_forms
def test_a_payment_that_waited_too_long_for_its_turn_is_given_back_to_whoever_is_free(
    server: RedisServer, queue: RetryQueue, form: str
) -> None:
    queue.enqueue_many(orders(2))
    slow, fast = Diary(), Diary()
    goes_on, policy = threading.Event(), Policy(lease_ms=2_000)
    with working(server, holding(form, slow, goes_on), concurrency=1, prefetch=1, policy=policy):
        until(lambda: counts(queue) == {State.LEASED: 2} and slow.begun)
        with working(server, charging(form, fast), policy=policy):
            until(lambda: counts(queue) == {State.SUCCEEDED: 1, State.LEASED: 1})
            goes_on.set()
            until(lambda: counts(queue) == {State.SUCCEEDED: 2})

    assert (len(slow.begun), len(fast.begun)) == (1, 1)
    assert item(queue, fast.begun[0].key).limit == 5 + fast.begun[0].attempt - 1


def test_what_was_given_back_often_waits_no_longer_after_its_first_real_attempt(server: RedisServer, queue: RetryQueue) -> None:
    policy = Policy(backoff_base_ms=20_000)
    shard, connected = Shard("payments", 0), Server(server.url, patience_s=5, connections=1)
    queue.enqueue_many(orders(1))
    for number in range(12):
        (lease,) = connected.carry(queue.operations.ask(protocol.claim(shard, policy, "a", str(number), 1))).leases
        given_back = protocol.settle(shard, policy, "release", [protocol.Verdict(lease, "release")])
        assert connected.carry(queue.operations.ask(given_back)) == ["ok"]
    connected.close()
    with working(server, lambda _: AMBIGUOUS, policy=policy):
        until(lambda: item(queue, "order-0").note == "HTTP 500" and item(queue, "order-0").state == State.SCHEDULED)
        found, now_ms = item(queue, "order-0"), server_ms(server)

    assert found.attempt >= 13
    assert found.since_ms - now_ms <= 20_000 * 2 ** (found.attempt - 13)


def test_an_open_breaker_claims_nothing_then_lets_one_payment_through_and_closes_with_an_answer(
    server: RedisServer, queue: RetryQueue
) -> None:
    answers = threading.Event()
    moved: list[tuple[float, bool]] = []
    diary = Diary({f"order-{number}": [lambda lease: paid(lease) if answers.is_set() else AMBIGUOUS] for number in range(20)})

    def hook(event: object) -> None:
        if isinstance(event, BreakerMoved):
            moved.append((time.monotonic(), event.is_open))

    queue.enqueue_many(orders(20))
    breaker = Breaker(after=3, cool_down_s=0.5)
    with working(server, diary, concurrency=1, prefetch=0, breaker=breaker, hook=hook):
        until(lambda: len(diary.begun) >= 5)
        assert [is_open for _, is_open in moved] == [True]
        assert all(later - sooner >= 0.5 for sooner, later in zip(diary.at_s[2:], diary.at_s[3:], strict=False))
        answers.set()
        until(lambda: counts(queue) == {State.SUCCEEDED: 20})
    assert [is_open for _, is_open in moved] == [True, False]


@both_forms
def test_what_was_claimed_ahead_is_not_charged_while_the_breaker_is_open(
    server: RedisServer, queue: RetryQueue, form: str
) -> None:
    diary = Diary({f"order-{number}": [AMBIGUOUS] for number in range(20)})
    queue.enqueue_many(orders(20))
    breaker = Breaker(after=3, cool_down_s=30)
    with working(server, charging(form, diary), concurrency=1, prefetch=10, breaker=breaker):
        until(lambda: breaker.is_open)
        until(lambda: State.LEASED not in counts(queue))

    assert len(diary.begun) == 3
    assert {found.limit - found.attempt for found in queue.items(State.SCHEDULED) if found.note == ""} == {5}


def test_a_worker_may_be_started_before_its_server() -> None:
    with RedisServer(port=free_port()) as later:
        later.kill()
        with working(later, paid) as running:
            time.sleep(0.5)
            assert not running.ended.done()
            later.start()
            with RetryQueue(later.url, durability="ignore") as queue:
                queue.enqueue_many(orders(3))
                until(lambda: counts(queue) == {State.SUCCEEDED: 3})


def test_a_worker_without_a_server_can_be_stopped() -> None:
    nowhere = RedisServer(port=free_port())
    try:
        with working(nowhere, paid) as running:
            time.sleep(0.3)
            running.worker.stop()
            running.ended.result(timeout=LONGEST_WAIT_S)
    finally:
        nowhere.close()


@both_forms
def test_a_worker_whose_server_has_gone_away_can_be_stopped(form: str) -> None:
    with (
        RedisServer() as server,
        RetryQueue(server.url, durability="ignore") as queue,
        working(server, charging(form, paid), policy=SHORT) as running,
    ):
        until(lambda: queue.status().workers)
        queue.enqueue_many(orders(3), delay_ms=300)  # When these are due, the worker asks, and nobody answers.
        server.kill()
        time.sleep(0.6)
        running.worker.stop()
        until(running.ended.done)
        running.ended.result()


@both_forms
def test_a_worker_lives_through_the_death_of_redis_and_tells_it_afterwards_what_it_charged(form: str) -> None:
    diary = Diary()
    with (
        RedisServer(appendfsync="always") as server,
        RetryQueue(server.url, durability="ignore") as queue,
        working(server, charging(form, diary, takes_s=0.3), concurrency=2, prefetch=2) as running,
    ):
        queue.enqueue_many(orders(8))
        for _ in range(3):
            before = len(diary.begun)
            until(lambda before=before: len(diary.begun) > before or len(diary.begun) == 8)  # type: ignore[misc]
            server.kill()
            time.sleep(0.5)
            server.start()
        until(lambda: counts(queue) == {State.SUCCEEDED: 8})
        assert not running.ended.done()
    assert Counter(lease.key for lease in diary.begun) == {f"order-{number}": 1 for number in range(8)}


def test_a_wrong_password_ends_a_worker_with_an_error(caplog: pytest.LogCaptureFixture) -> None:
    with RedisServer() as server:
        with server.client() as client:
            client.config_set("requirepass", "right")
        with working(server, paid) as running:
            assert isinstance(running.ended.exception(timeout=LONGEST_WAIT_S), ServerRefused)
        wrong = Worker(server.url.replace("redis://", "redis://:wrong@"), paid)
        with pytest.raises(ServerRefused):
            wrong.run()
    assert "ends because of an error" in caplog.text
    assert "wrong@" not in caplog.text


@both_forms
def test_a_server_that_breaks_under_a_worker_ends_it_with_an_error(
    server: RedisServer, queue: RetryQueue, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    with working(server, charging(form, paid)) as running:
        queue.enqueue_many(orders(1))
        until(lambda: counts(queue) == {State.SUCCEEDED: 1})
        with server.client() as client:
            client.set("{payments:0}:due", "no sorted set")
            client.publish("{payments:0}:wake", "0")
        assert isinstance(running.ended.exception(timeout=LONGEST_WAIT_S), ServerRefused)
    assert "ends because of an error" in caplog.text


def test_a_verdict_that_the_server_refuses_ends_a_worker_with_an_error(server: RedisServer, queue: RetryQueue) -> None:
    def charge(lease: Lease) -> Outcome:
        with server.client() as client:
            client.delete("{payments:0}:paid")
            client.set("{payments:0}:paid", "no sorted set")
        return paid(lease)

    queue.enqueue_many(orders(1))
    with working(server, charge) as running:
        assert isinstance(running.ended.exception(timeout=LONGEST_WAIT_S), ServerRefused)


def test_something_that_is_no_redis_ends_a_worker_with_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        over = threading.Event()

        def answer() -> None:
            while not over.is_set():
                try:
                    caller, _ = listening.accept()
                except TimeoutError:
                    continue
                caller.recv(1000)
                caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                caller.close()

        worker = Worker(f"redis://127.0.0.1:{listening.getsockname()[1]}", paid, durability="ignore")
        in_background(answer)
        try:
            assert isinstance(in_background(worker.run).exception(timeout=LONGEST_WAIT_S), ServerRefused)
        finally:
            over.set()
            worker.stop()


@both_forms
def test_a_delayed_payment_starts_when_it_is_due_and_not_before(
    server: RedisServer, queue: RetryQueue, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shift, "LONGEST_SLEEP_S", 2 * LONGEST_WAIT_S)  # Nobody asks again by chance.
    began_ms: dict[str, float] = {}

    def charge(lease: Lease) -> Outcome:
        began_ms[lease.key] = server_ms(server)
        return paid(lease)

    with working(server, charging(form, charge)):
        until(lambda: queue.status().workers)
        for number, order in enumerate(orders(20)):
            queue.enqueue(order, delay_ms=(number * 37) % 1000)
        dues = {found.key: found.since_ms for found in queue.items(State.SCHEDULED)}
        until(lambda: counts(queue) == {State.SUCCEEDED: 20})

    late_ms = [began_ms[key] - due_ms for key, due_ms in dues.items()]
    assert min(late_ms) >= 0  # Of those that were not due before all were enqueued.


def test_a_payment_that_is_due_sooner_wakes_a_worker_that_sleeps_until_a_later_one(
    server: RedisServer, queue: RetryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shift, "LONGEST_SLEEP_S", 2 * LONGEST_WAIT_S)
    later, sooner = orders(2)
    diary = Diary()
    with working(server, diary):
        queue.enqueue(later, delay_ms=3_600_000)
        time.sleep(0.5)
        queue.enqueue(sooner)
        until(lambda: diary.begun)
    assert diary.begun[0].key == sooner.key


def test_no_attempt_begins_after_the_deadline(server: RedisServer, queue: RetryQueue) -> None:
    declined, unknown, untouched = orders(3)
    diary = Diary({declined.key: [DECLINED], unknown.key: [AMBIGUOUS]})
    policy = Policy(attempts=1000, lease_ms=600, backoff_base_ms=40, backoff_cap_ms=40)
    with RetryQueue(server.url, policy=policy, durability="ignore") as patient:
        patient.enqueue_many([declined, unknown], deadline_ms=2_500)
    queue.enqueue(untouched, deadline_ms=1)
    time.sleep(0.05)
    with working(server, diary, policy=policy):
        until(lambda: set(counts(queue)) <= {State.DEAD, State.RECONCILE})

    assert [item(queue, order.key).state for order in (declined, unknown, untouched)] == [
        State.DEAD,
        State.RECONCILE,
        State.DEAD,
    ]
    assert "deadline" in item(queue, declined.key).note
    assert item(queue, untouched.key).note == "the deadline has passed"
    assert not diary.sent(untouched.key)


@both_forms
def test_a_payment_whose_deadline_passes_while_it_waits_for_its_turn_is_not_charged(
    server: RedisServer, queue: RetryQueue, form: str
) -> None:
    first, second = orders(2)
    diary = Diary()
    queue.enqueue(first)
    queue.enqueue(second, deadline_ms=300)
    policy = Policy(lease_ms=5_000)
    with working(server, charging(form, diary, takes_s=1.0), concurrency=1, prefetch=1, policy=policy):
        until(lambda: set(counts(queue)) <= {State.SUCCEEDED, State.DEAD})

    assert [lease.key for lease in diary.begun] == [first.key]
    assert item(queue, second.key).state == State.DEAD


@both_forms
def test_a_worker_never_holds_more_than_it_may_charge_and_claim_ahead(
    server: RedisServer, queue: RetryQueue, form: str
) -> None:
    running: set[str] = set()
    most: list[int] = []
    lock = threading.Lock()

    def note(lease: Lease, *, begins: bool) -> None:
        with lock:
            (running.add if begins else running.discard)(lease.key)
            most.append(len(running))

    def plain(lease: Lease) -> Outcome:
        note(lease, begins=True)
        time.sleep(0.02)
        note(lease, begins=False)
        return paid(lease)

    async def coroutine(lease: Lease) -> Outcome:
        note(lease, begins=True)
        await asyncio.sleep(0.02)
        note(lease, begins=False)
        return paid(lease)

    queue.enqueue_many(orders(60))
    leased: list[int] = []
    claimed: list[int] = []

    def hook(event: object) -> None:
        if isinstance(event, Claimed):
            claimed.append(event.payments)

    with working(server, plain if form == "threads" else coroutine, concurrency=3, prefetch=4, hook=hook):
        while (now := counts(queue)) != {State.SUCCEEDED: 60}:
            leased.append(now.get(State.LEASED, 0))

    assert max(most) == 3
    assert max(leased) <= 7
    assert max(claimed) <= 7
    assert sum(claimed) >= 60  # More, if one waited so long that it was given back.


@both_forms
def test_an_idle_worker_asks_for_nothing(server: RedisServer, queue: RetryQueue, form: str) -> None:
    queue.enqueue_many(orders(1), delay_ms=3_600_000)
    with working(server, charging(form, paid), policy=Policy()):
        until(lambda: queue.status().workers)
        time.sleep(0.5)
        with server.client() as client:
            client.config_resetstat()
            began_s = time.monotonic()
            time.sleep(3)
            asked = {name: said["calls"] for name, said in client.info("commandstats").items()}
    ours = {name: calls for name, calls in asked.items() if name not in {"cmdstat_info", "cmdstat_config|resetstat"}}
    assert sum(ours.values()) <= 4 * (time.monotonic() - began_s), ours


def test_a_worker_that_charges_slowly_asks_for_little(server: RedisServer, queue: RetryQueue) -> None:
    queue.enqueue_many(orders(2))
    with working(server, charging("asyncio", paid, takes_s=3.0), concurrency=2, policy=Policy(lease_ms=1_500)):
        until(lambda: counts(queue) == {State.LEASED: 2})
        with server.client() as client:
            client.config_resetstat()
            began_s = time.monotonic()
            time.sleep(2)
            asked = {name: said["calls"] for name, said in client.info("commandstats").items()}
    assert asked.get("cmdstat_fcall", 0) + asked.get("cmdstat_evalsha", 0) <= 6 * (time.monotonic() - began_s), asked


@pytest.mark.parametrize("connections", [1, 2])
def test_a_worker_makes_do_with_few_connections(server: RedisServer, queue: RetryQueue, connections: int) -> None:
    queue.enqueue_many(orders(20))
    with working(server, charging("asyncio", paid), connections=connections):
        until(lambda: counts(queue) == {State.SUCCEEDED: 20})


def test_a_paused_queue_gives_out_nothing_until_it_is_resumed(server: RedisServer, queue: RetryQueue) -> None:
    diary = Diary()
    queue.pause()
    with working(server, diary):
        queue.enqueue_many(orders(3))
        time.sleep(0.5)
        assert not diary.begun
        queue.resume()
        until(lambda: counts(queue) == {State.SUCCEEDED: 3})


def test_several_workers_charge_each_payment_once(server: RedisServer, queue: RetryQueue) -> None:
    diary = Diary()
    queue.enqueue_many(orders(400))
    with (
        working(server, charging("threads", diary)),
        working(server, charging("asyncio", diary)),
        working(server, charging("threads", diary)),
    ):
        until(lambda: counts(queue) == {State.SUCCEEDED: 400})
    assert Counter(lease.key for lease in diary.begun) == {order.key: 1 for order in orders(400)}


def test_a_worker_serves_in_a_loop_that_has_other_work_and_leaves_a_given_client_open(
    server: RedisServer, queue: RetryQueue
) -> None:
    async def main() -> object:
        async with redis.asyncio.Redis.from_url(server.url) as client:
            worker = Worker(client, charging("asyncio", paid), policy=FAST, durability="ignore")
            serving = asyncio.create_task(worker.serve())
            await asyncio.to_thread(until, lambda: counts(queue) == {State.SUCCEEDED: 5})
            worker.stop()
            await serving
            return await client.ping()

    queue.enqueue_many(orders(5))
    assert asyncio.run(main()) is True


def test_a_worker_whose_task_is_cancelled_twice_leaves_its_payments_to_their_leases(
    server: RedisServer, queue: RetryQueue
) -> None:
    diary = Diary()

    async def main() -> None:
        worker = Worker(server.url, charging("asyncio", diary, takes_s=30), policy=SHORT, durability="ignore")
        serving = asyncio.create_task(worker.serve())
        await asyncio.to_thread(until, lambda: counts(queue) == {State.LEASED: 2})
        serving.cancel()
        await asyncio.sleep(0.1)
        assert not serving.done()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    queue.enqueue_many(orders(2))
    asyncio.run(main())
    assert not diary.begun
    with working(server, diary):
        until(lambda: counts(queue) == {State.SUCCEEDED: 2})
    assert {(lease.attempt, lease.generation) for lease in diary.begun} == {(2, 1)}


def test_a_hook_that_fails_touches_no_payment(server: RedisServer, queue: RetryQueue) -> None:
    def hook(_: object) -> None:
        raise ValueError("the hook is broken")

    queue.enqueue_many(orders(3))
    with working(server, paid, hook=hook):
        until(lambda: counts(queue) == {State.SUCCEEDED: 3})


def test_a_record_that_cannot_be_read_is_set_aside_and_the_worker_goes_on(server: RedisServer, queue: RetryQueue) -> None:
    queue.enqueue_many(orders(3))
    with server.client() as client:
        client.hset("{payments:0}:items", "order-1", b"\xc1 no record")
    with working(server, paid):
        until(lambda: counts(queue) == {State.SUCCEEDED: 2, State.QUARANTINED: 1})
    assert item(queue, "order-1").raw == b"\xc1 no record"


def test_stopping_twice_or_before_the_start_is_no_error(server: RedisServer) -> None:
    worker = Worker(server.url, paid, durability="ignore")
    worker.stop()
    worker.stop()
    worker.run()


def test_workers_of_two_queues_on_one_server_do_not_touch_each_others_payments(server: RedisServer, queue: RetryQueue) -> None:
    sent: defaultdict[str, list[str]] = defaultdict(list)

    def charge(name: str) -> Callable[[Lease], Outcome]:
        return lambda lease: sent[name].append(lease.key) or paid(lease)  # type: ignore[func-returns-value]

    with RetryQueue(server.url, name="refunds", durability="ignore") as other:
        queue.enqueue_many(orders(5))
        other.enqueue_many(orders(3))
        with working(server, charge("payments")), working(server, charge("refunds"), name="refunds"):
            until(lambda: counts(queue) == {State.SUCCEEDED: 5} and counts(other) == {State.SUCCEEDED: 3})
    assert (sorted(sent["payments"]), sorted(sent["refunds"])) == ([o.key for o in orders(5)], [o.key for o in orders(3)])
