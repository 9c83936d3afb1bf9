"""After what was seen to clear up well once, nobody clears up again: what is left is the same only if all that follows is."""

from __future__ import annotations

import gc
import importlib
import sys
import warnings
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import redis

from interlock.core.verdict import Verdict
from interlock.prove.bench import Bench
from interlock.prove.contract import Contract, contract
from interlock.prove.effect import Effect, Uncontrolled
from interlock.prove.explore import prove
from interlock.prove.facts import Facts
from interlock.prove.invariant import Invariant
from interlock.prove.loading import apart
from interlock.prove.programs import Program
from interlock.prove.proof import Findings
from interlock.prove.wire.redis_server import running_redis

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.scheduler import Run
    from interlock.prove.world import World

pytestmark = pytest.mark.usefixtures("redis_server")

SUBJECTS = Path(__file__).parent / "subjects"
FEW = 100


class EnoughError(Exception):
    """As many schedules as were to be run."""


def contract_of(subject: str, scenario: str) -> Contract:
    if str(SUBJECTS) not in sys.path:
        sys.path.insert(0, str(SUBJECTS))
    found = apart(importlib.import_module("adapters").of(subject, subject))
    return next(one for one in found if scenario in one.name)


class Recorder:
    """Lets everybody clear up, and takes down what came of it after what was left."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.found: dict[bytes, set[object]] = {}
        self.schedules = self.known = 0
        self._left: bytes | None = None
        digested, recover = Bench._left, Bench._recover  # noqa: SLF001 - what is held against each other.

        def left(own: Bench, program: Program, found: Findings | None, world: World) -> None:
            self._left = digested(own, program, found, world)

        def recovered(own: Bench, run: Run, world: World) -> str:
            begun, failed = len(run.steps), recover(own, run, world)
            self.schedules += 1
            if self._left is not None:
                steps = [
                    (step.worker, step.at_s, step.effect.said, step.effect.exactly, step.answer) for step in run.steps[begun:]
                ]
                broken = tuple(str(own.contract.asked(invariant)) for invariant in world.invariants)
                self.known += self._left in self.found
                self.found.setdefault(self._left, set()).add((failed, tuple(steps), broken))
            if self.schedules >= FEW:
                raise EnoughError
            return failed

        patch.setattr(Bench, "_left", left)
        patch.setattr(Bench, "_recover", recovered)


@pytest.mark.parametrize(
    ("subject", "scenario"),
    [
        ("lua_queue", "Redis restart"),
        ("plain_queue", "crash after the acknowledgement"),
        ("stream_queue", "clock skew"),
        ("outbox_queue", "lost reply"),
        ("ledger_postgres", "crash during"),
        ("sign_up", "lost reply"),
        ("cache", "crash"),
    ],
)
@pytest.mark.usefixtures("postgres_server")
def test_whoever_clears_up_after_the_same_does_the_same(subject: str, scenario: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    with suppress(EnoughError):
        prove(contract_of(subject, scenario), budget_s=60)
    with warnings.catch_warnings():  # What is broken off leaves its clients open.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()

    assert recorder.known > recorder.schedules / 4
    assert [what for what in recorder.found.values() if len(what) > 1] == []


def cleared_up(made: Contract, patch: pytest.MonkeyPatch) -> tuple[Any, int]:
    """What a proof comes to, and how often somebody cleared up in it."""
    times, recover = [0], Bench._recover  # noqa: SLF001 - what is counted.

    def recovered(own: Bench, run: Run, world: World) -> str:
        times[0] += 1
        return recover(own, run, world)

    patch.setattr(Bench, "_recover", recovered)
    return prove(made, budget_s=60), times[0]


def two_who_write(check: Callable[[World], Invariant]) -> Contract:
    """Two workers, whose order nothing tells that lies in the server."""

    @contract(faults=0)
    def written(world: World) -> None:
        def client() -> Any:
            return redis.Redis.from_url(world.redis_url)

        def write() -> None:
            client().incr("count")
            client().incr("count")

        world.run(write)
        world.recover(lambda: client().incr("count"), times=2)
        world.check(check(world))

    return written


def test_what_is_the_same_is_cleared_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(world: World) -> Invariant:
        return Invariant("six", lambda: None if world.redis("GET", "count") == b"6" else "not six")

    proof, times = cleared_up(two_who_write(check), monkeypatch)

    assert proof.verdict is Verdict.PASS, proof.reason
    assert proof.schedules > 10
    assert times < proof.schedules / 2


def test_an_order_that_is_kept_outside_of_the_servers_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both write the same, and who has come to an end first stands in a list of the contract's alone."""

    @contract(faults=0)
    def ended(world: World) -> None:
        ends = world.outside(Facts())

        def write(name: str) -> None:
            client = redis.Redis.from_url(world.redis_url)
            client.set("here", 1)
            client.set("here", 1)
            ends.note("end", name)

        world.run(lambda: write("ada"), lambda: write("ben"))
        world.recover(lambda: redis.Redis.from_url(world.redis_url).get("here"), times=1)
        world.check(Invariant("ada comes first", lambda: "ben did" if ends.every("end")[0] == ("ben",) else None))

    proof, _ = cleared_up(ended, monkeypatch)

    assert proof.verdict is Verdict.FAIL, proof.reason


def test_whoever_asks_for_the_history_is_shown_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the first schedules the order is another one, but everything else is the same."""

    def check(world: World) -> Invariant:
        def broken() -> str | None:
            names = [step.worker for step in world.history if step.effect.said.startswith("INCR")]
            return "A lets B go first twice" if names[:4] == ["A", "B", "B", "A"] else None

        return Invariant("in turn", broken)

    proof, times = cleared_up(two_who_write(check), monkeypatch)

    assert proof.verdict is Verdict.FAIL, proof.reason
    assert times >= proof.schedules


def test_whatever_a_client_could_find_in_redis_is_told_apart() -> None:
    with running_redis() as server:
        said = {server.contents}
        changes: list[tuple[str | int, ...]] = [
            ("SET", "key", "1"),
            ("PEXPIRE", "key", "10000"),
            ("SELECT", "3"),
            ("SET", "key", "1"),
            ("SELECT", "0"),
            ("EVAL", "return 1", "0"),
            ("SCRIPT", "LOAD", "return 2"),
            ("FUNCTION", "LOAD", "#!lua name=one\nredis.register_function('one', function() return 1 end)"),
            ("RPUSH", "list", "a", "b"),
            ("DEL", "list"),
        ]
        has_functions = server.value("COMMAND", "INFO", "FUNCTION") != [None]
        for change in changes:
            if change[0] == "FUNCTION" and not has_functions:
                continue
            server.value(*change)
            if change[0] != "SELECT":
                assert (server.contents in said) == (change[0] == "DEL"), change
                assert server.contents == server.contents
                said.add(server.contents)
        server.value("SCRIPT", "FLUSH")
        assert server.contents not in said
        server.pass_time(1)
        assert server.contents not in said


@pytest.mark.parametrize("known", [(True, False), (False, True)], ids=["first", "then"])
@pytest.mark.parametrize("then", ["GET a", "GET b"])
def test_of_schedules_that_are_held_against_each_other_one_may_not_have_been_cleared_up(
    then: str, known: tuple[bool, bool]
) -> None:
    own: Any = Bench(cast("Any", None), cast("Any", None))
    for said, is_known in zip(("GET a", then), known, strict=True):
        steps = [
            SimpleNamespace(worker="A", effect=Effect("redis", one)) for one in (said, "GET later")[: 1 if is_known else 2]
        ]
        is_other = (said, is_known) == ("GET b", known[1])
        with pytest.raises(Uncontrolled, match="not deterministic") if is_other else nullcontext():
            own._check_again(  # noqa: SLF001 - what holds them against each other.
                Program("ok", 2, None), Findings(schedules=1), SimpleNamespace(steps=steps), is_known=is_known
            )
