"""The kill test: workers and Redis die again and again, the provider's replies get lost, and every payment is charged once.

    python tests/kill.py --payments 10000 --kills 200 --redis-kills 5 --seeds 1 2 3 --appendfsync always

Payments are enqueued bit by bit, so that workers are busy all the time. Four worker processes charge them over HTTP: two with
a plain charge function in threads, two with a coroutine function. At random moments one of them is killed (SIGKILL) and
another one started; Redis is killed too, and started again on what it has written. Part of the provider's replies is lost,
part of the payments is declined, for now or for good. In the end nothing may be scheduled or leased, and the provider's ledger
is held against what the queue says of every single payment (`kill_audit`).

It prints a line for each seed, and ends with 0; with 1 if anything was found; with 3 if it could not be carried out. The seed
decides about the moments and the provider's moods; what is hit, depends on the machine.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charging import BlockingCharger
from kill_audit import Audit, Evidence, audit
from provider import ProviderProcess
from servers import RedisServer
from worker_process import Journal, Workers, WorkerSettings

from retryqueue import Payment, QueueUnavailable, RetryQueue, State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Short, so that a killed worker's payments come back while the test runs; many attempts end with a kill here.
POLICY = {"attempts": 5, "lease_ms": 1_500, "backoff_base_ms": 100, "backoff_cap_ms": 1_000}
FORMS = ("threads", "asyncio", "threads", "asyncio")
SHARES = {
    "lost-reply": 0.055,
    "lost-request": 0.01,
    "502": 0.01,
    "429": 0.01,
    "500-before": 0.005,
    "500-after": 0.005,
    "insufficient-funds": 0.04,
    "stolen-card": 0.01,
}
CHARGE_MS = 30
PER_SECOND = 220
LONGEST_DRAIN_S = 300.0
# How long a kill waits for its worker to be at work.
LONGEST_WAIT_S = 1.0
# One payment in so many is declined each time, so that some die of it.
ONE_DECLINED_IN = 100
MOST_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One run.

    Attributes:
        payments: How many payments.
        kills: How often a worker is killed.
        redis_kills: How often Redis is.
        seed: Decides when, and which requests the provider answers how.
        appendfsync: When Redis writes to disk: `always` or `everysec`.
        keys: `honoured`, or `forgotten`: the provider charges each time, and the audit must find it.
        fault: Of the workers; see `WorkerSettings`.
    """

    payments: int = 10_000
    kills: int = 200
    redis_kills: int = 5
    seed: int = 1
    appendfsync: str = "always"
    keys: str = "honoured"
    fault: str = ""

    @property
    def span_s(self) -> float:
        """Over what time payments are enqueued and processes killed."""
        return max(self.payments / PER_SECOND, self.kills * 0.2, self.redis_kills * 2.5)


@dataclass(slots=True)
class Report:
    """What happened in a run.

    Attributes:
        trial: Which run.
        audit: What was found in the end.
        seconds: How long it took.
        kills: How many workers were killed; each was alive.
        cut_off: How many attempts to charge were under way in them.
        redis_kills: How often Redis was killed.
        answers: How enqueueing was answered; `unavailable` calls were made again.
        replies: How the provider answered, and how often from memory (`replayed`): that absorbed a second charge.
        faults: What else was wrong: a worker that ended by itself, an enqueued payment that was answered wrongly.
    """

    trial: Trial
    audit: Audit = field(default_factory=Audit)
    seconds: float = 0.0
    kills: int = 0
    cut_off: int = 0
    redis_kills: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    replies: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return self.audit.clean and not self.faults

    @property
    def complete(self) -> bool:
        """Whether as much was killed as was asked for."""
        return (self.kills, self.redis_kills) == (self.trial.kills, self.trial.redis_kills)

    def line(self) -> str:
        """The facts."""
        states, found = self.audit.states, self.audit
        asked = sum(self.replies["answers"].values())
        lost = self.replies["answers"].get("lost-reply", 0)
        counts = ", ".join(f"{kind} {found.count(kind)}" for kind in ("doubled", "lost", "unfinished", "untrue"))
        trial = f"seed {self.trial.seed}, appendfsync {self.trial.appendfsync}"
        reconcile = f"reconcile {states[State.RECONCILE]} ({found.charged_in_reconcile} of them charged)"
        absorbed = f"{self.replies['replayed']} repeats absorbed by the provider"
        facts = [
            f"{trial}: {self.trial.payments} payments in {self.seconds:.0f} s",
            f"succeeded {states[State.SUCCEEDED]}, dead {states[State.DEAD]}, {reconcile}",
            f"{counts}, faults {len(self.faults)}",
            f"{self.kills} workers killed with {self.cut_off} charges under way, Redis killed {self.redis_kills} times",
            f"{lost} of {asked} replies lost ({lost / max(1, asked):.1%}), {absorbed}",
        ]
        return "; ".join(facts)

    def to_dict(self) -> dict[str, Any]:
        """The facts as JSON takes them."""
        return {
            **asdict(self.trial),
            "seconds": round(self.seconds, 1),
            "states": dict(self.audit.states),
            "charged_in_reconcile": self.audit.charged_in_reconcile,
            "reasons": dict(self.audit.reasons.most_common()),
            **{kind: self.audit.count(kind) for kind in ("doubled", "lost", "unfinished", "untrue")},
            "findings": {kind: found[:MOST_SHOWN] for kind, found in self.audit.findings.items()},
            "faults": self.faults,
            "workers_killed": self.kills,
            "charges_cut_off": self.cut_off,
            "redis_killed": self.redis_kills,
            "enqueue_answers": self.answers,
            "provider": self.replies,
        }


class Run:
    """A run under way: enqueueing, killing, waiting, looking.

    Args:
        trial: What to do.
        server: Redis.
        provider: The provider.
        workers: Where workers come from.
        journal: The file that they write into.
    """

    def __init__(self, trial: Trial, server: RedisServer, provider: ProviderProcess, workers: Workers, journal: Path) -> None:
        self.trial = trial
        self.report = Report(trial)
        self.server = server
        self.queue = RetryQueue(server.url, durability="ignore")
        self._provider = provider
        self._workers = workers
        self._journal = journal
        self._chance = random.Random(trial.seed)
        self._payments = [_payment(number) for number in range(trial.payments)]
        self._killed: set[int] = set()
        self._began_s = time.monotonic()

    def carry_out(self, before_audit: Callable[[Run], None] | None = None) -> Report:
        """The whole run; `before_audit` may spoil it."""
        self._provider.plan(self._declines())
        places = [self._start(place) for place in range(len(FORMS))]
        orders, redis_moments, moments = self._orders(), self._redis_moments(), self._moments()
        with ThreadPoolExecutor(3) as threads:
            tasks = [
                threads.submit(self._enqueue, orders),
                threads.submit(self._kill_redis, redis_moments),
                threads.submit(self._kill_workers, moments, places),
            ]
            for task in tasks:
                task.result()
        self._wait_until_settled()
        for place, pid in enumerate(places):
            self._note_end(place, self._workers.stop(pid), expected=0)
        if before_audit is not None:
            before_audit(self)
        self.report.seconds = time.monotonic() - self._began_s
        self._look()
        return self.report

    def _start(self, place: int) -> int:
        settings = WorkerSettings(
            redis_url=self.server.url,
            provider_url=self._provider.url,
            journal=str(self._journal),
            form=FORMS[place],
            policy=POLICY,
            fault=self.trial.fault,
        )
        return self._workers.start(settings)

    def _declines(self) -> dict[str, list[str]]:
        """More declines than there are attempts, for some."""
        return {payment.key: ["insufficient-funds"] * 20 for payment in self._payments[::ONE_DECLINED_IN]}

    def _orders(self) -> list[tuple[float, list[Payment], bool]]:
        """When which payments are enqueued, and whether that is the second time."""
        orders: list[tuple[float, list[Payment], bool]] = []
        at_s = 0.0
        rest = iter(self._payments)
        while batch := list(islice(rest, self._chance.randint(1, 40))):
            at_s += len(batch) * self.trial.span_s / self.trial.payments
            orders.append((at_s, batch, False))
            if self._chance.random() < 0.1:
                orders.append((at_s + self._chance.uniform(0, 2), batch, True))
        return sorted(orders, key=lambda order: order[0])

    def _moments(self) -> list[float]:
        return sorted(self._chance.uniform(0.3, self.trial.span_s) for _ in range(self.trial.kills))

    def _redis_moments(self) -> list[tuple[float, float]]:
        """When Redis is killed, once in each stretch, and how long it is away."""
        stretch_s = self.trial.span_s / max(1, self.trial.redis_kills)
        return [
            ((number + self._chance.uniform(0.2, 0.6)) * stretch_s, self._chance.uniform(0.05, 0.8))
            for number in range(self.trial.redis_kills)
        ]

    def _sleep_until(self, at_s: float) -> None:
        time.sleep(max(0.0, self._began_s + at_s - time.monotonic()))

    def _enqueue(self, orders: Sequence[tuple[float, list[Payment], bool]]) -> None:
        answers = self.report.answers
        for at_s, batch, again in orders:
            self._sleep_until(at_s)
            asked_again = again
            while (receipts := self._offered(batch)) is None:
                answers["unavailable"] = answers.get("unavailable", 0) + 1
                asked_again = True  # The call may have been carried out.
            for answer in receipts:
                answers[answer] = answers.get(answer, 0) + 1
            if set(receipts) - ({"new", "duplicate"} if asked_again else {"new"}) or (again and "new" in receipts):
                self.report.faults.append(f"{batch[0].key} and others, {again=}: answered {receipts}")

    def _offered(self, batch: Sequence[Payment]) -> list[str] | None:
        try:
            if len(batch) == 1:
                return [self.queue.enqueue(batch[0]).answer]
            return [receipt.answer for receipt in self.queue.enqueue_many(batch)]
        except QueueUnavailable:
            return None

    def _kill_redis(self, moments: Sequence[tuple[float, float]]) -> None:
        for at_s, away_s in moments:
            self._sleep_until(at_s)
            self.server.kill()
            time.sleep(away_s)
            self.server.start()
            self.report.redis_kills += 1

    def _kill_workers(self, moments: Sequence[float], places: list[int]) -> None:
        chance = random.Random(f"{self.trial.seed}/places")
        for number, at_s in enumerate(moments):
            self._sleep_until(at_s)
            place = chance.randrange(len(places))
            if number % 3 == 0:  # On a busy machine, where workers mostly wait, few would be killed at work by chance.
                self._wait_until_it_charges(places[place])
            self._killed.add(places[place])
            self._note_end(place, self._workers.kill(places[place]), expected=-9)
            places[place] = self._start(place)

    def _wait_until_it_charges(self, pid: int) -> None:
        ends_s = time.monotonic() + LONGEST_WAIT_S
        while time.monotonic() < ends_s and not Journal.read(self._journal).is_charging(pid):
            time.sleep(0.005)

    def _note_end(self, place: int, status: int, expected: int) -> None:
        if status != expected:
            self.report.faults.append(f"worker {place} ({FORMS[place]}) had ended with {status}")
        elif expected:
            self.report.kills += 1

    def _wait_until_settled(self) -> None:
        ends_s = time.monotonic() + LONGEST_DRAIN_S
        while time.monotonic() < ends_s:
            counts = self.queue.status().counts
            if not counts[State.SCHEDULED] + counts[State.LEASED]:
                return
            time.sleep(0.1)

    def _look(self) -> None:
        journal = Journal.read(self._journal)
        self.report.cut_off = journal.cut_off
        self.report.replies = self._provider.summary()
        self._provider.change(share={})
        self._provider.plan({payment.key: [] for payment in self._payments})
        with BlockingCharger(self._provider.url) as charger:
            charges = self._provider.charges()
            evidence = Evidence(self.queue.inspect, charges, charger.charge, journal, frozenset(self._killed))
            self.report.audit = audit(self._payments, evidence)
        if self.trial.keys == "honoured" and self._provider.summary()["charges"] != len(charges):
            self.report.faults.append("asking the provider again has charged: a dead payment's key was never used")


def _payment(number: int) -> Payment:
    return Payment(
        key=f"order-{number}", user_id=f"u{number % 977}", amount_minor=100 + number, currency="EUR", payment_method_id="pm_1"
    )


def run(trial: Trial, before_audit: Callable[[Run], None] | None = None) -> Report:
    """Carries out one trial, with a Redis, a provider and workers of its own.

    Args:
        trial: What to do.
        before_audit: Is called with the run when all payments are settled, to spoil it.

    Raises:
        RuntimeError: If there is no Redis on this machine.
    """
    with (
        tempfile.TemporaryDirectory(prefix="rq-kill-") as folder,
        RedisServer(appendfsync=trial.appendfsync) as server,
        ProviderProcess(share=SHARES, seed=trial.seed, delay_ms=CHARGE_MS, keys=trial.keys) as provider,
        Workers() as workers,
    ):
        started = Run(trial, server, provider, workers, Path(folder) / "journal")
        with started.queue:
            return started.carry_out(before_audit)


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kills workers and Redis, and looks for payments charged twice or lost.")
    parser.add_argument("--payments", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=200, help="how many workers are killed")
    parser.add_argument("--redis-kills", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--appendfsync", choices=["always", "everysec"], default="always")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes the facts of all seeds there")
    return parser.parse_args()


def main() -> int:
    """Runs the command; answers its exit status."""
    options = _parsed()
    reports: list[Report] = []
    for seed in options.seeds:
        trial = Trial(
            payments=options.payments,
            kills=options.kills,
            redis_kills=options.redis_kills,
            seed=seed,
            appendfsync=options.appendfsync,
        )
        try:
            report = run(trial)
        except (OSError, RuntimeError) as error:
            sys.stderr.write(f"seed {seed}: the test could not be carried out: {error}\n")
            return 3
        reports.append(report)
        _show(report)
    if options.json:
        options.json.write_text(json.dumps([report.to_dict() for report in reports], indent=2) + "\n")
    if not all(report.clean for report in reports):
        return 1
    return 0 if all(report.complete for report in reports) else 3


def _show(report: Report) -> None:
    sys.stdout.write(report.line() + "\n")
    for kind, found in [*report.audit.findings.items(), ("faults", report.faults)]:
        for finding in found[:MOST_SHOWN]:
            sys.stdout.write(f"  {kind}: {finding}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
