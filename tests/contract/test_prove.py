from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
import requests

from interlock.cli.main import main
from interlock.core.errors import UsageError
from interlock.core.verdict import Verdict
from interlock.prove.contract import Contract, contract
from interlock.prove.effect import Effect
from interlock.prove.explore import Proof, prove
from interlock.prove.faults.crash_after import CrashAfter
from interlock.prove.faults.lost_reply import LostReply
from interlock.prove.invariant import Invariant
from interlock.prove.loading import written_in
from interlock.prove.scheduler import Run, Stuck
from interlock.prove.story import story
from interlock.prove.wire.http_wire import Answer
from tests.documented import disagreements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.prove.worker import Worker
    from interlock.prove.world import World

SUBJECTS = Path(__file__).parent / "prove_subjects"
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "contracts" / "payments.py"


@pytest.fixture
def queues() -> Iterator[Any]:
    if not shutil.which("redis-server") and not shutil.which("valkey-server"):
        message = "NOT RUN: no redis-server on this machine (make servers)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    sys.path.insert(0, str(SUBJECTS))
    yield importlib.import_module("queues")
    sys.path.remove(str(SUBJECTS))
    sys.modules.pop("queues")


def charging_once(kind: Any, provider: str, *, faults: int = 1) -> Contract:
    @contract(workers=2, faults=faults)
    def each_payment_is_charged_once(world: World) -> None:
        bank = world.provider(provider)
        queue = world.subject(kind, world.redis_url)
        world.given(lambda: queue().enqueue("p1"))
        world.run(lambda: queue().process())
        world.check(bank.charged_once("p1"))

    return each_payment_is_charged_once


def proof_of(queues: Any, name: str, **options: Any) -> Proof:
    return prove(charging_once(getattr(queues, name), queues.PROVIDER, **options), budget_s=60)


def test_a_right_queue_passes_and_the_proof_says_what_was_tried(queues: Any) -> None:
    proof = proof_of(queues, "Right")

    assert (proof.verdict, proof.violation, proof.reason) == (Verdict.PASS, None, "")
    assert proof.bounds == [
        "all interleavings of 2 workers",
        "every single fault with 1 preemption at most",
    ]
    assert proof.schedules > 50


@pytest.mark.parametrize(
    ("name", "broken", "fault"),
    [
        ("WithoutLease", "p1 was charged twice", None),
        ("LooksThenTakes", "p1 was charged twice", None),
        ("WithoutKey", "p1 was charged twice", "lost reply"),
        ("RemovesFirst", "p1 was charged never", "crash after"),
        ("LeaseForEver", "p1 was charged never", "crash after"),
    ],
)
def test_a_queue_without_one_of_its_guards_fails_with_a_story(queues: Any, name: str, broken: str, fault: str | None) -> None:
    proof = proof_of(queues, name)

    assert proof.verdict is Verdict.FAIL
    assert proof.violation is not None
    assert proof.violation.broken == (broken,)
    assert [step.fault for step in proof.violation.steps if step.fault] == ([fault] if fault else [])
    assert story(proof.violation)[-1] == f"BROKEN: {broken}"


def test_the_same_contract_is_broken_by_the_same_schedule_each_time(queues: Any) -> None:
    told = {
        (proof.schedules, tuple(story(proof.violation)))
        for proof in (proof_of(queues, "WithoutKey") for _ in range(3))
        if proof.violation
    }

    assert len(told) == 1


def test_without_faults_only_orders_are_tried(queues: Any) -> None:
    proof = proof_of(queues, "WithoutKey", faults=0)

    assert (proof.verdict, proof.bounds) == (Verdict.PASS, ["all interleavings of 2 workers"])


@pytest.mark.parametrize(("name", "reason"), [("StartsThreads", "starts a thread"), ("GoesElsewhere", "elsewhere.example")])
def test_what_is_not_controlled_is_unknown_and_never_a_pass(queues: Any, name: str, reason: str) -> None:
    proof = proof_of(queues, name)

    assert proof.verdict is Verdict.UNKNOWN
    assert reason in proof.reason


def test_a_module_that_is_not_deterministic_is_unknown(queues: Any) -> None:
    calls: list[int] = []

    class Moody(queues.Right):  # type: ignore[misc]
        def takes(self, order: str) -> bool:
            calls.append(1)
            self.redis.get(f"mood:{len(calls)}")
            return bool(super().takes(order))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]

    proof = prove(charging_once(Moody, queues.PROVIDER), budget_s=20)

    assert proof.verdict is Verdict.UNKNOWN
    assert re.fullmatch(
        r"the module is not deterministic: one schedule, run twice, came to `(\w) GET mood:\d+` and to `\1 GET mood:\d+`",
        proof.reason,
    )


LONG = "x" * 60


@pytest.mark.usefixtures("queues")
@pytest.mark.parametrize(
    ("differs", "verdict"),
    [
        (lambda client, number: client.set("value", f"{LONG}{number}"), Verdict.UNKNOWN),
        (lambda client, number: client.set("value", b"\xff" + bytes([0x80 + number % 64])), Verdict.UNKNOWN),
        (lambda client, number: client.eval(f"return {number}", 0), Verdict.UNKNOWN),
        (lambda _, number: requests.post("http://shop.example/", json={"n": number}, timeout=5), Verdict.UNKNOWN),
        (lambda client, _: client.set("value", f"{LONG}{object()}"), Verdict.PASS),  # Which is said by many an error.
    ],
    ids=["the end of a long value", "bytes that are no text", "a script", "the body of a request", "an address in memory"],
)
def test_values_that_read_the_same_and_are_not_are_seen(differs: Any, verdict: Verdict) -> None:
    numbers = count()

    @contract(workers=2, faults=0)
    def all_is_well(world: World) -> None:
        def works() -> None:
            differs(plain(world), next(numbers))
            plain(world).incr("n")

        world.http("http://shop.example/", lambda _: Answer(200))
        world.run(works)
        world.recover(lambda: None, times=1)
        world.check(Invariant("all is well", lambda: None))

    proof = prove(all_is_well, budget_s=60)

    assert (proof.verdict, "(with another value)" in proof.reason) == (verdict, verdict is Verdict.UNKNOWN), proof.reason


def nothing_to_break(world: World) -> None:
    world.run(lambda: None)


def nothing_to_run(world: World) -> None:
    world.check(world.provider("http://pay.example/").charged_at_most_once("p1"))


def wrong_mood(world: World) -> None:
    world.provider("http://pay.example/", moods=("decline",))


def broken(_: World) -> None:
    raise KeyError("p1")


def fails_before(world: World) -> None:
    world.check(world.provider("http://pay.example/").charged_at_most_once("p1"))
    world.given(lambda: int("none"))
    world.run(lambda: None)


def a_crowd(world: World) -> None:
    world.run(*[lambda: None] * 501)
    world.check(world.provider("http://pay.example/").charged_at_most_once("p1"))


@pytest.mark.usefixtures("queues")
@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (a_crowd, "501 workers and functions given, expected 500 at most"),
        (nothing_to_break, "nothing could break it"),
        (nothing_to_run, "has no world.run"),
        (wrong_mood, "did you mean 'declines'"),
        (broken, "broken raises KeyError"),
        (fails_before, "world.given fails: ValueError"),
    ],
)
def test_a_contract_that_says_nothing_is_a_usage_error_and_no_pass(arrange: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        prove(contract()(arrange))


@pytest.mark.parametrize(("workers", "faults"), [(0, 1), (2, 2), (2, -1)])
def test_numbers_that_are_not_tried_are_refused(workers: int, faults: int) -> None:
    with pytest.raises(UsageError, match="@contract"):
        contract(workers=workers, faults=faults)


def test_a_task_that_always_fails_is_unknown_though_nothing_was_charged_twice(queues: Any) -> None:
    @contract()
    def never_twice(world: World) -> None:
        bank = world.provider(queues.PROVIDER)
        world.run(lambda: int("none"))
        world.check(bank.charged_at_most_once("p1"))

    proof = prove(never_twice)

    assert proof.verdict is Verdict.UNKNOWN
    assert "the task fails by itself: ValueError" in proof.reason


def test_leases_end_while_a_worker_sleeps(queues: Any) -> None:
    seen: list[object] = []

    @contract(workers=1, faults=0)
    def outlives_its_lease(world: World) -> None:
        bank = world.provider(queues.PROVIDER)

        def task() -> None:
            client = queues.Right(world.redis_url).redis
            client.set("lease", "1", px=30_000)
            time.sleep(31)
            seen.append(client.get("lease"))

        world.run(task)
        world.check(bank.charged_at_most_once("p1"))

    prove(outlives_its_lease)

    assert seen
    assert set(seen) == {None}


def test_a_budget_that_is_used_up_is_unknown(queues: Any) -> None:
    proof = prove(charging_once(queues.Right, queues.PROVIDER), budget_s=0.05)

    assert proof.verdict is Verdict.UNKNOWN
    assert proof.reason == "the budget of 0.05 s is used up"


@pytest.mark.usefixtures("queues")
def test_the_command_proves_the_examples(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["prove", str(EXAMPLE), "--format", "json", "--budget", "60s", "--quiet"])
    told = json.loads(capsys.readouterr().out)

    assert code == 1
    assert disagreements("interlock prove", told) == []
    assert {proof["contract"]: proof["verdict"] for proof in told["proofs"]} == {
        "the_original_charges_once": "fail",
        "the_published_fix_charges_once": "fail",
        "a_leased_queue_charges_once": "pass",
    }
    assert told["proofs"][0]["violation"] == ["p1 was charged twice"]


@pytest.mark.usefixtures("queues")
def test_the_page_shows_who_charged_twice_and_fetches_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", f"{EXAMPLE}::the_original_charges_once", "--format", "html", "--quiet"]) == 1
    told = capsys.readouterr().out

    assert told.count("<svg") == 1
    assert "p1 was charged twice" in told
    assert told.count("POST api.pay.example/charges") == 2
    assert not any(word in told for word in ("<script", "src=", "@import", "url(http"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "contracts.py: no contract in it"),
        ("\nimport nothing_of_this_name\n", "contracts.py:2: cannot be imported: ModuleNotFoundError"),
        ("x = 1\ndef shop(:\n", "contracts.py:2: cannot be imported: SyntaxError"),
        (None, "contracts.py: no such file"),
        (
            "from interlock.prove import contract\n\n@contract\ndef shop(world):\n    world.provider('http://a').charged_onc('p1')\n",
            "has no attribute 'charged_onc'; did you mean 'charged_once'?",
        ),
    ],
)
def test_a_file_without_contracts_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, message: str
) -> None:
    path = tmp_path / "contracts.py"
    if text is not None:
        path.write_text(text)

    assert main(["prove", str(path)]) == 2
    assert message in capsys.readouterr().err


def test_annotations_in_a_file_of_contracts_are_looked_up_in_it(tmp_path: Path) -> None:
    """As dataclasses, pydantic and SQLAlchemy do, by the name of the module."""
    path = tmp_path / "with_annotations.py"
    path.write_text(
        "from __future__ import annotations\n\n"
        "from dataclasses import dataclass\nfrom typing import ClassVar\n\n"
        "from interlock.prove import contract\n\n\n"
        "@dataclass\nclass Order:\n    currency: ClassVar[str] = 'EUR'\n    id: str\n\n\n"
        "@contract\ndef pays(world):\n    world.provider('http://pay.example/')\n"
    )

    assert [one.name for one in written_in(path)] == ["pays"]


def first(ready: list[Worker]) -> Worker:
    return ready[0]


def nothing() -> None:
    """An effect without one."""


def test_a_worker_that_crashes_cleans_nothing_up() -> None:
    run, told = Run(first, {(0, 1): CrashAfter()}), list[str]()

    def task() -> None:
        try:
            run.effect(Effect("test", "first"), lambda: told.append("first"), str)
            run.effect(Effect("test", "second"), lambda: told.append("second"), str)
        finally:
            run.effect(Effect("test", "clean up"), lambda: told.append("cleaned up"), str)

    run.go([task])
    steps = [(step.effect.said, step.fault) for step in run.steps]
    run.workers.clear()  # The interpreter unwinds the greenlet now.

    assert told == ["first", "second"]
    assert steps == [("first", None), ("second", "crash after")]
    assert len(run.steps) == 2


def test_a_lost_reply_is_an_effect_that_its_worker_takes_for_none() -> None:
    run, told = Run(first, {(0, 0): LostReply()}), list[str]()

    def task() -> None:
        try:
            run.effect(Effect("test", "once"), lambda: told.append("done"), str)
        except ConnectionResetError:
            told.append("told it was not")

    run.go([task])

    assert told == ["done", "told it was not"]


def test_a_day_of_waiting_takes_no_time() -> None:
    run, began = Run(first), time.monotonic()
    run.go([lambda: run.wait(86_400, Effect("wait", "a day"))])

    assert run.now_s == 86_400
    assert time.monotonic() - began < 60


def test_whoever_never_ends_is_stuck() -> None:
    run = Run(first, limit=50)

    def spin() -> None:
        while True:
            run.effect(Effect("test", "again"), nothing, str)

    with pytest.raises(Stuck, match="no end within 50 effects"):
        run.go([spin])


def plain(world: World) -> Any:
    """A client of the proof's Redis, in a worker."""
    return redis.Redis.from_url(world.redis_url)


@pytest.mark.usefixtures("queues")
@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda: False, "the invariant 'all is well' answers False, expected a text that tells how it does not hold, or None"),
        (lambda: True, "the invariant 'all is well' answers True"),
        (lambda: str(1 / 0), "all_is_well: the invariant 'all is well' raises ZeroDivisionError"),
    ],
)
def test_an_invariant_that_does_not_say_how_it_is_broken_is_a_mistake_and_no_pass(broken: Any, message: str) -> None:
    @contract(workers=1, faults=0)
    def all_is_well(world: World) -> None:
        world.run(lambda: plain(world).set("n", 1))
        world.check(Invariant("all is well", broken))

    with pytest.raises(UsageError, match=message):
        prove(all_is_well)


@pytest.mark.usefixtures("queues")
@pytest.mark.parametrize("given", [380, 500])
def test_however_much_was_given_the_workers_may_do_as_much_as_ever(given: int) -> None:
    @contract(workers=1, faults=0)
    def much_is_there(world: World) -> None:
        world.given(lambda: [plain(world).set(f"k{number}", 1) for number in range(given)])
        world.run(lambda: [plain(world).append(f"k{number}", "1") for number in range(30)])
        world.check_end()
        world.check(Invariant("it is there", lambda: None if world.redis("GET", "k0") else "nothing is there"))

    proof = prove(much_is_there, budget_s=60)

    assert (proof.verdict, proof.violation) == (Verdict.PASS, None)


def no_answer(_: object) -> Any:
    raise KeyError("flag")


@pytest.mark.usefixtures("queues")
@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (lambda world: world.http("http://shop.example/", no_answer), "what is behind an address raises KeyError: 'flag'"),
        (lambda world: world.http("http://shop.example/", lambda _: "on"), "found 'on' for GET /, expected an Answer"),
        (lambda world: world.provider("http://shop.example/"), "no payment in the request b''; say where it is"),
    ],
)
def test_a_mistake_behind_an_address_is_told_though_the_module_takes_it_for_the_networks(arrange: Any, message: str) -> None:
    def careless() -> None:
        with contextlib.suppress(Exception):
            requests.get("http://shop.example/", timeout=5)

    @contract(workers=1, faults=0)
    def nothing_happens(world: World) -> None:
        arrange(world)
        world.run(careless)
        world.check(Invariant("nothing", lambda: None))

    with pytest.raises(UsageError, match=re.escape(message)):
        prove(nothing_happens)


@pytest.mark.usefixtures("queues")
def test_a_proof_says_how_many_worked_and_not_how_many_were_asked_for() -> None:
    @contract(workers=1, faults=0)
    def each_has_a_key(world: World) -> None:
        world.run(*(lambda name=name: plain(world).set(name, "1") for name in "abc"))
        world.recover(lambda: None, times=1)
        world.check(Invariant("all three", lambda: None if world.redis("DBSIZE") == 3 else "one is missing"))

    assert prove(each_has_a_key, budget_s=60).bounds == ["all interleavings of 3 workers"]


@pytest.mark.usefixtures("queues")
def test_what_a_module_prints_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "contracts.py").write_text(
        "from interlock.prove.contract import contract\n\n\n"
        "@contract(workers=1, faults=0)\ndef talks(world):\n"
        "    bank = world.provider('http://pay.example/')\n"
        "    world.run(lambda: print('as loud as it is'))\n"
        "    world.check(bank.charged_at_most_once('p1'))\n"
    )
    command = [sys.executable, "-m", "interlock", "prove", "contracts.py", "--format", "json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert json.loads(done.stdout)["proofs"][0]["contract"] == "talks"
    assert "as loud as it is" not in done.stderr
