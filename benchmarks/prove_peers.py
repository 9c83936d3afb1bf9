"""The subjects of `prove.py`, and how other tools are asked about them; also what runs in frontrun's own environment.

Every tool gets the same subjects, the same ledger that honours idempotency keys, and the same end: what has a TTL ages by 31 s
and a new worker processes, three times over; then the payment must be charged once. Each harness is what a user would write.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "contract" / "prove_subjects"), str(ROOT / "examples")]

import faulty  # type: ignore[import-not-found] # noqa: E402 - lies in one of these.
import queues  # type: ignore[import-not-found] # noqa: E402 - likewise.
from published_queues import fixed, original  # type: ignore[import-not-found] # noqa: E402 - likewise.

PROVIDER = queues.PROVIDER
ORDER = "p1"
LEASE_S = 31
THREADS = 4
CALLS_MAX = 5  # A process() of these subjects makes hardly more.


def charge(payment: dict[str, Any]) -> bool:
    """Charges over HTTP, as the published queues' shop does."""
    return requests.post(PROVIDER, json=payment, timeout=5).ok


class Published:
    """A published queue, asked like the others."""

    def __init__(self, url: str, kind: Any) -> None:
        self.queue = kind(redis.Redis.from_url(url), charge, retry_delay_s=0)

    def enqueue(self, order: str) -> None:
        """Enqueues a payment."""
        self.queue.enqueue({"user_id": "u1", "amount": 4999, "currency": "EUR", "payment_method_id": "pm_1", "order_id": order})

    def process(self) -> None:
        """What a worker does."""
        self.queue.process_retries()


@dataclass(frozen=True, slots=True)
class Case:
    """A subject.

    Attributes:
        name: What people call it.
        make: Makes an instance for a worker, of the address of a Redis.
        is_wrong: Whether there is something to find.
        may_lose: Whether it promises at most one charge only.
    """

    name: str
    make: Callable[[str], Any]
    is_wrong: bool = True
    may_lose: bool = False


CASES = (
    Case("published: original", partial(Published, kind=original.PaymentRetryQueue)),
    Case("published: fixed", partial(Published, kind=fixed.PaymentRetryQueue)),
    Case("no lease, no key", queues.WithoutLease),
    Case("looks, then takes", queues.LooksThenTakes),
    Case("no key", queues.WithoutKey),
    Case("key of the attempt", queues.KeyOfTheAttempt),
    Case("removes before it charges", queues.RemovesFirst),
    Case("lease for ever", queues.LeaseForEver),
    Case("marks, then charges", faulty.MarksThenCharges),
    Case("charges again after trouble", faulty.ChargesAgainAfterTrouble, may_lose=True),
    Case("charges without Redis", faulty.ChargesWithoutRedis, may_lose=True),
    Case("right: lease and key", queues.Right, is_wrong=False),
    Case("right: again with the key", faulty.ChargesAgainWithTheKey, is_wrong=False, may_lose=True),
)


class Crash(BaseException):
    """A worker dies."""


@dataclass(slots=True)
class Answer:
    """What the provider says."""

    status_code: int = 200

    @property
    def ok(self) -> bool:
        """Whether it was charged."""
        return self.status_code < 400  # noqa: PLR2004 - HTTP.

    def json(self) -> dict[str, str]:
        """Its body."""
        return {"status": "ok"}


@dataclass(slots=True)
class World:
    """The provider, and a fault that waits for its moment.

    Attributes:
        charged: The payments that were, in order.
        keys: The idempotency keys that were seen, with who came first: a dictionary needs no lock, which a tool might see.
        fault: Which fault strikes, at the n-th call from now.
    """

    charged: list[str] = field(default_factory=list[str])
    keys: dict[str, object] = field(default_factory=dict[str, object])
    fault: tuple[int, str] | None = None

    def reset(self) -> None:
        """Nothing has happened."""
        self.charged.clear()
        self.keys.clear()
        self.fault = None

    def post(self, _: str, *, json: dict[str, Any], headers: dict[str, str] | None = None, timeout: float = 0) -> Answer:  # noqa: ARG002 - as requests has it.
        """Charges, unless the key is known."""
        return self.struck(partial(self._charge, json, headers or {}), requests.Timeout)  # type: ignore[no-any-return]

    def _charge(self, payment: dict[str, Any], headers: dict[str, str]) -> Answer:
        key, request = headers.get("Idempotency-Key"), object()
        if key is None or self.keys.setdefault(key, request) is request:
            self.charged.append(payment.get("payment") or payment["order_id"])
        return Answer()

    def struck(self, call: Callable[[], Any], trouble: type[Exception]) -> Any:
        """Carries a call out, with the fault if it is its moment."""
        if self.fault is None:
            return call()
        left, kind = self.fault
        self.fault = (left - 1, kind) if left > 1 else None
        if left > 1:
            return call()
        if kind.endswith("after"):
            call()
        raise Crash if kind.startswith("crash") else trouble("as if")

    def broken(self, case: Case) -> str:
        """How the promise is broken; nothing if it is kept."""
        charged = self.charged.count(ORDER)
        if charged > 1:
            return "charged twice"
        return "" if charged or case.may_lose else "lost"


WORLD = World()


@contextmanager
def in_place() -> Generator[None]:
    """The provider stands in for the network."""
    real_post = requests.post
    requests.post = WORLD.post  # type: ignore[assignment]
    try:
        yield
    finally:
        requests.post = real_post


@contextmanager
def redis_in_trouble() -> Generator[None]:
    """Calls to Redis can be struck."""
    real_command, real_execute = redis.Redis.execute_command, redis.client.Pipeline.execute

    def command(self: Any, *args: Any, **options: Any) -> Any:
        return WORLD.struck(partial(real_command, self, *args, **options), redis.ConnectionError)

    def execute(self: Any, *args: Any, **options: Any) -> Any:
        return WORLD.struck(lambda: real_execute(self, *args, **options), redis.ConnectionError)

    redis.Redis.execute_command, redis.client.Pipeline.execute = command, execute  # type: ignore[method-assign]
    try:
        yield
    finally:
        redis.Redis.execute_command, redis.client.Pipeline.execute = real_command, real_execute  # type: ignore[method-assign]


def begin(case: Case, client: Any, url: str) -> None:
    """A payment is enqueued, and nothing else has happened."""
    client.flushall()
    WORLD.reset()
    case.make(url).enqueue(ORDER)


def age(client: Any) -> None:
    """Time passes, for whatever lasts for a time."""
    for name in client.keys():  # noqa: SIM118 - a command, not a dictionary.
        left_ms = client.pttl(name)
        if left_ms > LEASE_S * 1000:
            client.pexpire(name, left_ms - LEASE_S * 1000)
        elif left_ms >= 0:
            client.delete(name)


def drained(case: Case, client: Any, url: str) -> str:
    """What is broken after a worker to which nothing happens has cleared up."""
    WORLD.fault = None
    for _ in range(3):
        age(client)
        case.make(url).process()
    return WORLD.broken(case)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of a tool: what it found, after how long, in how many tries; and why it found nothing, if it says so."""

    found: str
    seconds: float
    tries: int
    unsure: str = ""


def stress(case: Case, url: str, limit_s: float) -> Outcome:
    """Threads that process at once, over and over."""
    client, began, rounds = redis.Redis.from_url(url), time.monotonic(), 0
    while time.monotonic() - began < limit_s:
        rounds += 1
        begin(case, client, url)
        gate = threading.Barrier(THREADS)

        def work(gate: threading.Barrier = gate) -> None:
            worker = case.make(url)
            gate.wait()
            worker.process()

        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if broken := drained(case, client, url):
            return Outcome(broken, time.monotonic() - began, rounds)
    return Outcome("", time.monotonic() - began, rounds)


def hypothesis(case: Case, url: str, limit_s: float, *, with_faults: bool) -> Outcome:
    """A state machine of two workers and of time; and of faults, if somebody has written rules for them."""
    from hypothesis import HealthCheck, Phase, Verbosity, settings  # noqa: PLC0415 - not there in frontrun's environment.
    from hypothesis import strategies as st  # noqa: PLC0415 - likewise.
    from hypothesis.stateful import (  # noqa: PLC0415 - likewise.
        RuleBasedStateMachine,
        precondition,
        rule,
        run_state_machine_as_test,
    )

    client, began, tries = redis.Redis.from_url(url), time.monotonic(), 0
    first: list[Outcome] = []

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            nonlocal tries
            tries += 1
            begin(case, client, url)
            self.workers = [case.make(url), case.make(url)]

        @rule(worker=st.integers(0, 1))
        def process(self, worker: int) -> None:
            self.workers[worker].process()

        @rule()
        def time_passes(self) -> None:
            age(client)

        @precondition(lambda _: with_faults)
        @rule(
            worker=st.integers(0, 1),
            call=st.integers(1, CALLS_MAX),
            kind=st.sampled_from(("crash before", "crash after", "before", "after")),
        )
        def process_in_trouble(self, worker: int, call: int, kind: str) -> None:
            WORLD.fault = (call, kind)
            try:
                self.workers[worker].process()
            except (Crash, Exception):  # noqa: BLE001 - its process ends.
                self.workers[worker] = case.make(url)
            WORLD.fault = None

        def teardown(self) -> None:
            if not first and (broken := drained(case, client, url)):
                first.append(Outcome(broken, time.monotonic() - began, tries))
            if first or time.monotonic() - began > limit_s:
                raise KeyboardInterrupt  # That is enough.

    own = settings(
        max_examples=100_000,
        stateful_step_count=6,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    with redis_in_trouble(), suppress(KeyboardInterrupt):
        run_state_machine_as_test(Machine, settings=own)
    return first[0] if first else Outcome("", time.monotonic() - began, tries)


def frontrun(case: Case, url: str, limit_s: float) -> Outcome:
    """Two threads, under every order of their commands that its DPOR finds to differ."""
    from frontrun import explore  # type: ignore[import-not-found] # noqa: PLC0415 - in an environment of its own.

    client, began = redis.Redis.from_url(url), time.monotonic()
    found: list[str] = []

    def invariant(_: object) -> bool:
        if broken := drained(case, client, url):
            found.append(broken)
        return not found

    # Nothing of ours may stand between it and a command: it would take that for a step of the worker's.
    result = explore(
        setup=lambda: begin(case, client, url),
        workers=lambda _: case.make(url).process(),
        count=2,
        invariant=invariant,
        total_timeout=limit_s,
        reproduce_on_failure=0,
    )
    unsure = "" if result.exhausted or found else "not all tried"
    return Outcome(found[0] if found else "", time.monotonic() - began, result.num_explored, unsure)


def main() -> None:
    """Runs frontrun on the case of a number, and prints the outcome."""
    number, url, limit_s = sys.argv[1:]
    logging.disable()
    with in_place():
        outcome = frontrun(CASES[int(number)], url, float(limit_s))
    sys.stdout.write(json.dumps([outcome.found, outcome.seconds, outcome.tries, outcome.unsure]) + "\n")


if __name__ == "__main__":
    main()
