"""What a finding is held to, whichever subject it is of: small, the same again, and confirmed with real kills."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from interlock.core.verdict import Verdict
from interlock.prove.bench import bench
from interlock.prove.contract import Contract, contract
from interlock.prove.explore import prove
from interlock.prove.invariant import Invariant
from interlock.prove.loading import contracts_in
from interlock.prove.replay import again, kept, read, write
from interlock.prove.schedule import digest
from interlock.prove.steering import Steering
from interlock.prove.story import story

if TYPE_CHECKING:
    from interlock.prove.world import World

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "contracts" / "payments.py"
MUTANTS = ("WithoutLease", "LooksThenTakes", "WithoutKey", "RemovesFirst", "LeaseForEver", "KeyOfTheAttempt")
PUBLISHED = ("the_original_charges_once", "the_published_fix_charges_once")


def of_queue(queues: Any, name: str) -> Contract:
    kind = getattr(queues, name)

    @contract(workers=2, faults=1)
    def each_payment_is_charged_once(world: World) -> None:
        bank = world.provider(queues.PROVIDER)
        queue = world.subject(kind, world.redis_url)
        world.given(lambda: queue().enqueue("p1"))
        world.run(lambda: queue().process())
        world.check(bank.charged_once("p1"))

    return each_payment_is_charged_once


def contract_of(queues: Any, name: str) -> Contract:
    if name in MUTANTS:
        return of_queue(queues, name)
    [published] = contracts_in(EXAMPLE, name)
    return published


@pytest.mark.parametrize("name", [*MUTANTS, *PUBLISHED])
def test_a_finding_is_small_and_is_the_same_again_and_happens_among_processes(queues: Any, name: str) -> None:
    subject = contract_of(queues, name)
    proof = prove(subject, budget_s=60)
    finding = proof.finding

    assert finding is not None, proof.reason
    schedule, violation, sure = finding.schedule, finding.violation, finding.confirmation
    crashes = [fault for _, fault in schedule.program.plan if fault.name.startswith("crash")]

    assert proof.verdict is Verdict.FAIL
    assert len(schedule.program.plan) <= 1
    assert len(schedule.switches) <= 2
    assert len(story(violation)) <= 15
    assert (sure.same, sure.times, sure.killed) == (5, 5, 5 * len(crashes)), sure.said
    with bench(subject) as own:
        repeated = [own.schedule(schedule.program, Steering(dict(schedule.switches)).choose) for _ in range(5)]
    assert [one and digest(one.steps) for one in repeated] == [digest(violation.steps)] * 5


def test_a_story_names_the_lines_of_the_users_own_code(queues: Any) -> None:
    finding = prove(of_queue(queues, "WithoutKey"), budget_s=60).finding

    assert finding is not None
    done = [step for step in finding.violation.steps if step.effect.kind != "end"]  # What a task ends with is no line's effect.
    wheres = {Path(step.where.rpartition(":")[0]).name for step in done}
    assert wheres == {"queues.py"}
    charge = next(step for step in finding.violation.steps if step.effect.kind == "http")
    line = Path(charge.where.rpartition(":")[0]).read_text().splitlines()[int(charge.where.rpartition(":")[2]) - 1]
    assert "requests.post" in line


@pytest.mark.usefixtures("redis_server")
def test_what_happens_in_one_process_only_is_unknown_and_no_failure() -> None:
    @contract(workers=2, faults=0)
    def one_of_them_at_most(world: World) -> None:
        seen: list[int] = []
        world.run(lambda: seen.append(1))
        world.check(Invariant("one of them", lambda: "two of them" if len(seen) > 1 else None))

    proof = prove(one_of_them_at_most, budget_s=60)

    assert proof.verdict is Verdict.UNKNOWN
    assert proof.reason == "in one process only: 0 of 5 in real processes; there, the contract holds"


@pytest.mark.usefixtures("redis_server")
def test_what_is_kept_outside_is_seen_from_every_process() -> None:
    @contract(workers=2, faults=0)
    def one_of_them_at_most(world: World) -> None:
        seen: list[int] = []
        outside = world.outside(seen)
        world.run(lambda: outside.append(1))
        world.check(Invariant("one of them", lambda: "two of them" if len(seen) > 1 else None))

    proof = prove(one_of_them_at_most, budget_s=60)

    assert (proof.verdict, proof.violation and proof.violation.broken) == (Verdict.FAIL, ("two of them",)), proof.reason


ENDLESS = "BROKEN: no end: 1,000 effects in a row have changed nothing"


def looks_for_ever(world: World) -> None:
    client = redis.Redis.from_url(world.redis_url)
    while not client.get("never"):
        pass


@pytest.mark.usefixtures("redis_server")
def test_a_race_of_the_last_two_of_many_workers_is_told_kept_and_found_again(tmp_path: Path) -> None:
    @contract(faults=0)
    def none_is_lost(world: World) -> None:
        def raises_by_one() -> None:
            client = redis.Redis.from_url(world.redis_url)
            client.set("n", int(client.get("n") or 0) + 1)

        others = [lambda key=key: redis.Redis.from_url(world.redis_url).set(f"key:{key}", 1) for key in range(26)]
        world.run(*others, raises_by_one, raises_by_one)
        world.recover(lambda: None, times=1)
        world.check(Invariant("both count", lambda: None if world.redis("GET", "n") == b"2" else "one is lost"))

    proof = prove(none_is_lost, budget_s=60)

    assert proof.finding is not None, proof.reason
    found = proof.finding.violation
    assert [step.worker for step in found.steps if "n" in step.effect.said.split()] == ["AA", "AB", "AB", "AA"]
    replay = read(write(kept(none_is_lost, proof.finding.schedule, found), tmp_path))
    assert again(none_is_lost, replay).said == "it still breaks the contract"


@pytest.mark.usefixtures("redis_server")
def test_where_workers_never_end_nobody_is_told_to_have_cleared_up() -> None:
    @contract(workers=1, faults=0)
    def it_ends(world: World) -> None:
        world.run(lambda: looks_for_ever(world))
        world.check_end()
        world.check(Invariant("it ends", lambda: None))

    violation = prove(it_ends, budget_s=60).violation

    assert violation is not None
    assert story(violation)[-2:] == ["-- it goes no further, and nobody comes to clear up", ENDLESS]


def works_long(client: Any) -> None:
    for number in range(900):
        client.set(f"key:{number}", 1)


def looks_long(client: Any) -> None:
    for _ in range(900):
        client.get("key")
    client.set("key", 1)


def counts_for_ever(client: Any) -> None:
    while True:
        client.incr("n")


@pytest.mark.usefixtures("redis_server")
@pytest.mark.parametrize(
    ("task", "verdict", "reason"),
    [
        (works_long, Verdict.PASS, ""),
        (looks_long, Verdict.PASS, ""),
        (counts_for_ever, Verdict.UNKNOWN, "no end within 4,000 effects, and nobody can tell whether there is one"),
    ],
)
def test_only_who_has_long_changed_nothing_is_said_to_have_no_end(task: Any, verdict: Verdict, reason: str) -> None:
    @contract(workers=1, faults=0)
    def it_ends(world: World) -> None:
        world.run(lambda: task(redis.Redis.from_url(world.redis_url)))
        world.recover(lambda: None, times=1)
        world.check_end()
        world.check(Invariant("it ends", lambda: None))

    proof = prove(it_ends, budget_s=60)

    assert (proof.verdict, proof.reason) == (verdict, reason)


@pytest.mark.usefixtures("redis_server")
def test_a_worker_that_clears_up_and_never_ends_is_told_as_such() -> None:
    @contract(workers=1, faults=0)
    def it_ends(world: World) -> None:
        world.run(lambda: redis.Redis.from_url(world.redis_url).set("done", 1))
        world.recover(lambda: looks_for_ever(world), times=1)
        world.check_end()
        world.check(Invariant("it ends", lambda: None))

    violation = prove(it_ends, budget_s=60).violation

    assert violation is not None
    assert [line.partition("(")[0].strip() for line in story(violation)] == [
        "0.0 s  A  SET done 1 -> OK",
        "-- afterwards, a worker that nothing happens to clears up",
        "... 1 poll that changes nothing",
        ENDLESS,
    ]
