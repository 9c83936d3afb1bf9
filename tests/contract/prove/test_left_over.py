"""What one schedule leaves behind changes nothing in the next one; a task that does nothing is no pass; stories are short."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import redis

from interlock.core.verdict import Verdict
from interlock.prove.contract import Contract, contract
from interlock.prove.explore import prove
from interlock.prove.invariant import Invariant
from interlock.prove.story import story

if TYPE_CHECKING:
    from interlock.prove.world import World

pytestmark = pytest.mark.usefixtures("redis_server")

SHARED: dict[str, redis.Redis] = {}


class Pooled:
    """Keeps one client for the whole process in a dictionary of its module, as libraries do."""

    def __init__(self, url: str) -> None:
        self.redis: Any = SHARED.setdefault(url, redis.Redis.from_url(url, decode_responses=True))

    def take(self, token: str) -> bool:
        return bool(self.redis.set("lock", token, nx=True, px=30_000))


class SaysGoodbye(Pooled):
    """Gives its lock back when it is cleared away: in a cycle, so that this happens when the collector comes by."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.redis = redis.Redis.from_url(url)
        self.itself = self

    def __del__(self) -> None:
        self.redis.delete("lock")


def one_of_two_takes(kind: type[Pooled], *, faults: int = 0) -> Contract:
    @contract(workers=2, faults=faults)
    def one_of_two_takes_it(world: World) -> None:
        taken = world.outside(Taken())
        subject = world.subject(lambda: kind(world.redis_url))
        world.run(lambda: taken.note(is_ours=subject().take("token")))
        world.recover(lambda: taken.note(is_ours=subject().take("token")), times=1)  # After its lease.
        world.check(Invariant("few take it", taken.broken), Invariant("somebody takes it", taken.nobody))

    return one_of_two_takes_it


class Taken:
    def __init__(self) -> None:
        self.times = 0

    def note(self, *, is_ours: bool) -> None:
        self.times += is_ours

    def broken(self) -> str | None:
        return f"{self.times} have taken it" if self.times > 2 else None

    def nobody(self) -> str | None:
        return None if self.times else "nobody has taken it"


def test_a_client_that_a_module_keeps_is_of_no_schedule_that_is_over() -> None:
    proof = prove(one_of_two_takes(Pooled, faults=1), budget_s=60)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert proof.schedules > 10


def test_an_instance_that_is_cleared_away_does_nothing_in_another_schedule(capfd: pytest.CaptureFixture[str]) -> None:
    proof = prove(one_of_two_takes(SaysGoodbye, faults=1), budget_s=60)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert "Exception ignored" not in capfd.readouterr().err


def test_tries_that_differ_in_their_token_alone_are_told_once() -> None:
    @contract(workers=1, faults=0)
    def it_is_free(world: World) -> None:
        world.given(lambda: Pooled(world.redis_url).redis.set("lock", "of nobody"))
        world.run(lambda: Pooled(world.redis_url).take(f"token {world.now_s}"))
        world.check(Invariant("free", lambda: "nobody ever gets it"))

    violation = prove(it_is_free, budget_s=60).violation

    assert violation is not None
    told = [line for line in story(violation) if "SET lock" in line]
    assert len(told) <= 3, told  # Before it, in the worker, and the first of twelve afterwards.
    assert any("11 more polls with the same result" in line for line in story(violation))


def test_a_task_that_always_fails_is_no_pass() -> None:
    @contract(workers=2, faults=0)
    def it_is_free(world: World) -> None:
        world.run(lambda: redis.Redis.from_url(world.redis_url).incr("lock", "no number"))  # type: ignore[arg-type]
        world.recover(lambda: None, times=1)
        world.check(Invariant("free", lambda: None))

    proof = prove(it_is_free, budget_s=60)

    assert proof.verdict is Verdict.UNKNOWN
    assert proof.reason.startswith("the task fails by itself: ResponseError: "), proof.reason


def test_a_subject_can_be_a_partial_function() -> None:
    @contract(workers=2, faults=0)
    def one_of_two_takes_it(world: World) -> None:
        taken = world.outside(Taken())
        subject = world.subject(partial(Pooled, world.redis_url))
        world.run(lambda: taken.note(is_ours=subject().take("token")))
        world.recover(lambda: None, times=1)
        world.check(Invariant("somebody takes it", taken.nobody))

    proof = prove(one_of_two_takes_it, budget_s=60)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


class Counts:
    """Raises two numbers in one transaction, and tries again if it is not told of its end."""

    def __init__(self, url: str) -> None:
        self.redis: Any = redis.Redis.from_url(url, retry=None)

    def both(self) -> None:
        for _ in range(3):
            try:
                self.redis.pipeline(transaction=True).incr("n").incr("m").execute()
            except redis.ConnectionError:
                continue
            else:
                return


class CountsIfUnchanged(Counts):
    """The same, watching one of them."""

    def both(self) -> None:
        for _ in range(3):
            try:
                with self.redis.pipeline() as pipe:
                    pipe.watch("n")
                    pipe.multi()
                    pipe.incr("n").incr("m").execute()
            except redis.ConnectionError:
                continue
            else:
                return


@pytest.mark.parametrize("kind", [Counts, CountsIfUnchanged])
@pytest.mark.parametrize("fault", ["reset", "lost reply", "crash before", "crash after"])
def test_a_transaction_that_is_cut_off_ends_with_its_connection(kind: type[Counts], fault: str) -> None:
    at_most = 3 if fault == "lost reply" else 2  # One that was carried out is tried once more.

    @contract(workers=1, faults=1, kinds=(fault,))
    def both_are_raised(world: World) -> None:
        counts = world.subject(kind, world.redis_url)
        world.run(lambda: counts().both())
        world.recover(lambda: counts().both(), waits_s=(1.0,))

        def broken() -> str | None:
            numbers = [int(world.redis("GET", name) or 0) for name in ("n", "m")]
            return None if numbers[0] == numbers[1] and 1 <= numbers[0] <= at_most else f"they are {numbers}"

        world.check(Invariant("both are the same", broken))

    proof = prove(both_are_raised, budget_s=60)

    assert (proof.verdict, proof.reason, proof.violation) == (Verdict.PASS, "", None)
    assert proof.placements >= 1


def test_nobody_publishes_to_who_was_killed() -> None:
    told: list[object] = []

    @contract(workers=2, faults=1, kinds=("crash after",))
    def somebody_listens(world: World) -> None:
        def listens() -> None:
            client: Any = redis.Redis.from_url(world.redis_url)
            channel = client.pubsub()
            channel.subscribe("news")
            channel.get_message(timeout=5)
            channel.get_message(timeout=5)

        def publishes() -> None:
            client = redis.Redis.from_url(world.redis_url)
            client.set("told", client.publish("news", "x"))

        world.run(listens, publishes)
        world.recover(lambda: None, times=1)
        world.check(Invariant("noted", lambda: note(world)))

    def note(world: World) -> None:
        crashed = [step.worker for step in world.history if step.fault]
        if crashed == ["A"] and world.history[-1].worker != "A":
            told.append(world.redis("GET", "told"))

    assert prove(somebody_listens, budget_s=60).verdict is Verdict.PASS
    assert set(told) == {b"0"}
