"""The kill test in short, the proof that its audit finds what it looks for, and what a crash of the machine costs.

The long one is a command: `python tests/kill.py`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from charging import BlockingCharger
from kill import Run, Trial, run
from kill_audit import Evidence, audit
from provider import ProviderProcess, RunningProvider
from servers import RedisServer
from worker_process import Journal

from retryqueue import Ambiguous, Declined, Item, Payment, Policy, RetryQueue, State, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from retryqueue import Lease, Outcome

SHORT = {"payments": 600, "kills": 15, "redis_kills": 2}


def test_workers_and_redis_are_killed_and_every_payment_is_charged_once_or_accounted_for() -> None:
    report = run(Trial(**SHORT))  # type: ignore[arg-type]

    assert report.clean, (report.audit.findings, report.faults)
    assert report.complete
    states = report.audit.states
    assert sum(states.values()) == 600
    assert set(states) == {State.SUCCEEDED, State.DEAD, State.RECONCILE}
    assert states[State.SUCCEEDED] > 500
    assert report.replies["charges"] == states[State.SUCCEEDED] + report.audit.charged_in_reconcile
    # Without these the run would prove nothing.
    assert report.cut_off > 0
    assert report.replies["answers"]["lost-reply"] > 10
    assert report.replies["replayed"] > 10


def test_a_provider_that_forgets_keys_is_found_to_charge_twice() -> None:
    report = run(Trial(payments=300, kills=8, redis_kills=0, keys="forgotten"))

    assert report.audit.count("doubled") > 0
    assert report.audit.count("doubled") == len(report.replies["charged_more_than_once"])


def test_workers_that_send_another_key_with_each_attempt_are_found_to_charge_twice() -> None:
    report = run(Trial(payments=300, kills=8, redis_kills=0, fault="fresh-keys"))

    assert report.audit.count("doubled") > 0
    assert report.audit.count("doubled") == len(report.replies["charged_more_than_once"])


def test_payments_that_are_deleted_behind_the_queues_back_are_found_to_be_lost() -> None:
    deleted: list[str] = []

    def delete(started: Run) -> None:
        deleted.extend(found.key for found, _ in zip(started.queue.items(State.SUCCEEDED), range(7), strict=False))
        with started.server.client() as client:
            client.hdel("{payments:0}:items", *deleted)

    report = run(Trial(payments=100, kills=2, redis_kills=0), before_audit=delete)

    assert report.audit.count("lost") == 7
    assert {finding.split(":")[0] for finding in report.audit.findings["lost"]} == set(deleted)
    assert report.audit.count("doubled") == 0


def test_the_command_prints_a_line_for_each_seed_and_writes_what_it_found(tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    command = [sys.executable, str(Path(__file__).with_name("kill.py")), "--seeds", "5", "6", "--json", str(facts)]
    options = ["--payments", "60", "--kills", "2", "--redis-kills", "1", "--appendfsync", "everysec"]

    ended = subprocess.run([*command, *options], capture_output=True, text=True, timeout=300, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert [line.split(",")[0] for line in ended.stdout.splitlines()] == ["seed 5", "seed 6"]
    assert '"redis_killed": 1' in facts.read_text()


@pytest.fixture
def order() -> Payment:
    return _order(1)


def _order(number: int) -> Payment:
    return Payment(key=f"order-{number}", user_id="u1", amount_minor=4999, currency="EUR", payment_method_id="pm_1")


def _item(order: Payment, state: State, note: str = "", **changed: Any) -> Item:
    usual: dict[str, Any] = {"since_ms": 0, "attempt": 5, "limit": 5, "generation": 2, "enqueued_at_ms": 0, "deadline_ms": None}
    return Item(key=order.key, state=state, note=note, payment=order, raw=None, **{**usual, **changed})


def _charge(order: Payment, number: int = 1, **changed: object) -> dict[str, object]:
    return {"id": f"ch_{number}", "payment": order.key, "key": f"{order.key}:{number}", "amount": order.amount_minor, **changed}


def _found(
    order: Payment,
    item: Item | None,
    charges: Sequence[dict[str, object]],
    *,
    says: Outcome = Declined("insufficient_funds"),  # noqa: B008 - it cannot be changed.
    journal: Journal | None = None,
    killed: frozenset[int] = frozenset(),
) -> dict[str, int]:
    journal = journal or Journal({}, {}, set())
    evidence = Evidence(lambda _: item, charges, lambda _: says, journal, killed)
    return {kind: len(found) for kind, found in audit([order], evidence).findings.items()}


def test_the_audit_lets_pass_what_is_as_it_must_be(order: Payment) -> None:
    declined = "attempt 5 of 5: insufficient_funds"
    vanished = "attempt 5 of 5 ended without an answer: its worker vanished"
    told = Journal({}, {(order.key, 5): [(77, "HTTP 500")]}, set())

    assert not _found(order, _item(order, State.SUCCEEDED, "ch_1"), [_charge(order)])
    assert not _found(order, _item(order, State.DEAD, declined), [])
    assert not _found(order, _item(order, State.DEAD, "stolen_card"), [], says=Declined("stolen_card", final=True))
    for charges in ([], [_charge(order)]):
        assert not _found(order, _item(order, State.RECONCILE, "attempt 5 of 5: HTTP 500"), charges, journal=told)
        assert not _found(order, _item(order, State.RECONCILE, vanished), charges)
        assert not _found(order, _item(order, State.RECONCILE, vanished), charges, journal=told, killed=frozenset({77}))


def test_the_audit_finds_what_is_not_as_it_must_be(order: Payment) -> None:
    declined = "attempt 5 of 5: insufficient_funds"
    vanished = "attempt 5 of 5 ended without an answer: its worker vanished"
    told = Journal({}, {(order.key, 5): [(77, "HTTP 500")]}, set())
    twice = [_charge(order, 1), _charge(order, 2)]

    assert _found(order, _item(order, State.SUCCEEDED, "ch_1"), twice) == {"doubled": 1}
    assert _found(order, _item(order, State.RECONCILE, vanished), twice) == {"doubled": 1}
    assert _found(order, _item(order, State.SUCCEEDED, "ch_1"), [_charge(_order(2))]) == {"doubled": 1, "lost": 1}
    assert _found(order, None, []) == {"lost": 1}
    assert _found(order, _item(order, State.SUCCEEDED, "ch_1"), []) == {"lost": 1}
    assert _found(order, _item(order, State.SUCCEEDED, "ch_9"), [_charge(order)]) == {"untrue": 1}
    assert _found(order, _item(order, State.SUCCEEDED, "ch_1"), [_charge(order, amount=1)]) == {"untrue": 1}
    assert _found(order, _item(order, State.SCHEDULED), []) == {"unfinished": 1}
    assert _found(order, _item(order, State.LEASED), []) == {"unfinished": 1}
    assert _found(order, _item(order, State.QUARANTINED), []) == {"untrue": 1}
    assert _found(order, _item(order, State.DEAD, declined), [_charge(order)]) == {"untrue": 1}
    for says in (Declined("stolen_card"), Declined("insufficient_funds", final=True), Ambiguous("insufficient_funds")):
        assert _found(order, _item(order, State.DEAD, declined), [], says=says) == {"untrue": 1}
    assert _found(order, _item(order, State.RECONCILE, "attempt 5 of 5: HTTP 502"), [], journal=told) == {"untrue": 1}
    assert _found(order, _item(order, State.RECONCILE, vanished), [], journal=told) == {"untrue": 1}
    assert _found(order, _item(order, State.RECONCILE, vanished, attempt=4), []) == {"untrue": 1}
    assert _found(order, _item(order, State.RECONCILE, "because"), []) == {"untrue": 1}


EARLIER, LATER = [_order(number) for number in range(100)], [_order(number) for number in range(100, 200)]


@contextmanager
def _working(url: str, charge: Callable[[Lease], Outcome]) -> Iterator[None]:
    worker = Worker(url, charge, policy=Policy(lease_ms=60_000), durability="ignore")
    ended: Future[None] = Future()
    thread = Thread(target=lambda: ended.set_result(worker.run()), daemon=True)  # type: ignore[func-returns-value]
    thread.start()
    try:
        yield
    finally:
        worker.stop()
    ended.result(timeout=90)


def _wait_until_paid(queue: RetryQueue, payments: int) -> None:
    ends_s = time.monotonic() + 90
    while queue.status().counts[State.SUCCEEDED] != payments:
        assert time.monotonic() < ends_s, queue.status()
        time.sleep(0.01)


def _crash(server: RedisServer, as_it_was: Path) -> None:
    """What a machine's crash does: whatever was written, but not yet forced to the disk, is gone."""
    server.kill()
    for kept in (server.folder / "appendonlydir", server.folder / "appendonly.aof"):  # Since Redis 7 it is a folder.
        if kept.is_dir():
            shutil.rmtree(kept)
        kept.unlink(missing_ok=True)
    shutil.copytree(as_it_was, server.folder, dirs_exist_ok=True)
    server.start()


def _is_written(server: RedisServer) -> bool:
    """Whether all that was accepted is in the file: a server that waits for the disk writes later."""
    with server.client() as client:
        about = client.info("persistence")
    return not int(about["aof_buffer_length"]) + int(about["aof_pending_bio_fsync"])


def _snapshot(server: RedisServer, folder: Path) -> None:
    ends_s = time.monotonic() + 90
    while not _is_written(server):
        assert time.monotonic() < ends_s
        time.sleep(0.01)
    for kept in (server.folder / "appendonlydir", server.folder / "appendonly.aof"):
        if kept.is_dir():
            shutil.copytree(kept, folder / kept.name)
        elif kept.exists():
            shutil.copy(kept, folder / kept.name)


@contextmanager
def _after_a_crash_that_takes_the_last_second(
    server: RedisServer, provider: RunningProvider, charge: Callable[[Lease], Outcome], folder: Path
) -> Iterator[RetryQueue]:
    """A queue that has enqueued `EARLIER`, then charged them and enqueued `LATER`, and forgets the second half."""
    with RetryQueue(server.url, durability="ignore") as queue:
        assert {receipt.answer for receipt in queue.enqueue_many(EARLIER)} == {"new"}
        _snapshot(server, folder)
        with _working(server.url, charge):
            _wait_until_paid(queue, 100)
        assert {receipt.answer for receipt in queue.enqueue_many(LATER)} == {"new"}
        assert (len(provider.charges()), provider.summary()["replayed"]) == (100, 0)
        _crash(server, folder)
        yield queue


def test_a_crash_of_the_machine_under_everysec_loses_the_last_second_and_still_charges_nobody_twice(tmp_path: Path) -> None:
    with (
        RedisServer(appendfsync="everysec") as server,
        ProviderProcess() as provider,
        BlockingCharger(provider.url) as charger,
        _after_a_crash_that_takes_the_last_second(server, provider, charger.charge, tmp_path) as queue,
    ):
        # What was accepted in that second is gone, though the caller was told otherwise. To enqueue it again is safe.
        assert [queue.inspect(payment.key) for payment in LATER] == [None] * 100
        assert {receipt.answer for receipt in queue.enqueue_many([*EARLIER, *LATER])} == {"new", "duplicate"}
        # What was paid in that second is due again, and is sent again under the same keys: the provider absorbs it.
        with _working(server.url, charger.charge):
            _wait_until_paid(queue, 200)

        assert provider.ledger() == {payment.key: 1 for payment in [*EARLIER, *LATER]}
        assert Counter(charge["key"] for charge in provider.charges()) == {f"{p.key}:1": 1 for p in [*EARLIER, *LATER]}
        assert provider.summary()["replayed"] == 100


def test_after_a_crash_under_everysec_only_the_providers_memory_stands_between_a_payment_and_a_second_charge(
    tmp_path: Path,
) -> None:
    with (
        RedisServer(appendfsync="everysec") as server,
        ProviderProcess(keys="forgotten") as provider,
        BlockingCharger(provider.url) as charger,
        _after_a_crash_that_takes_the_last_second(server, provider, charger.charge, tmp_path) as queue,
    ):
        with _working(server.url, charger.charge):
            _wait_until_paid(queue, 100)

        assert provider.ledger() == {payment.key: 2 for payment in EARLIER}
