"""What is asked of a router ends by itself, and what somebody else asks of it is noticed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import pytest

from interlock.core.errors import WorldError
from interlock.roll.lease import Lease
from interlock.roll.routers import FOREVER_S, Setting
from interlock.roll.shares import UNCERTAIN, Shares

LEASE_S = 15.0


@dataclass(slots=True)
class Router:
    """One that does as it is told, and may not say so."""

    setting: Setting = field(default_factory=lambda: Setting(limit=0, salt="none", until_s=0))
    answers: bool = True

    def read(self) -> Setting:
        self._answer()
        return self.setting

    def write(self, setting: Setting) -> None:
        self.setting = setting
        self._answer()

    def _answer(self) -> None:
        if not self.answers:
            raise WorldError("no answer")


@dataclass(slots=True)
class Clock:
    """One that is set by hand."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def router() -> Router:
    return Router()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lease(router: Router, clock: Clock) -> Lease:
    return Lease(router=router, shares=Shares([]), clock=clock, salt="a1b2", lease_s=LEASE_S)


def test_a_share_that_is_taken_ends_by_itself(lease: Lease, router: Router) -> None:
    assert lease.take(100) == 1000.0

    assert (router.setting.limit, router.setting.salt) == (100, "a1b2")
    assert 0 < router.setting.until_s - time.time() <= LEASE_S + 1
    assert lease.shares.since == [(1000.0, 100)]


def test_it_is_renewed_before_it_ends_and_not_at_every_look(lease: Lease, router: Router, clock: Clock) -> None:
    lease.take(100)
    router.setting = replace(router.setting, until_s=int(time.time()) + 3)
    clock.now_s += 1
    assert lease.keep(100) == ""
    assert router.setting.until_s - time.time() < 5

    clock.now_s += LEASE_S / 3
    assert lease.keep(100) == ""
    assert router.setting.until_s - time.time() > 10


def test_an_answer_that_is_lost_may_have_been_a_share_that_was_taken(lease: Lease, router: Router, clock: Clock) -> None:
    lease.take(100)
    clock.now_s += 30
    router.answers = False

    with pytest.raises(WorldError):
        lease.take(1000)

    assert router.setting.limit == 1000
    assert lease.shares.since == [(1000.0, 100)]
    assert not lease.close()
    assert lease.ended_by_s >= clock.now_s + LEASE_S + 1


def test_a_share_that_has_ended_meanwhile_is_told_to_whoever_counts_by_it(lease: Lease, router: Router, clock: Clock) -> None:
    lease.take(100)
    router.setting = replace(router.setting, until_s=int(time.time()) - 2)
    clock.now_s += 20

    assert lease.keep(100) == ""

    assert [limit for _, limit in lease.shares.since] == [100, UNCERTAIN, 100]
    assert router.setting.until_s > time.time()


@pytest.mark.parametrize("theirs", [{"limit": 200}, {"salt": "c3d4"}, {"limit": 0, "salt": "none"}])
def test_what_somebody_else_asks_for_is_not_ours(lease: Lease, router: Router, theirs: dict[str, int | str]) -> None:
    lease.take(100)
    router.setting = Setting(**({"limit": 100, "salt": "a1b2", "until_s": router.setting.until_s} | theirs))  # type: ignore[arg-type] # As it is parametrised.

    assert "changed by somebody else" in lease.keep(100)
    assert "changed while nobody watched" in lease.resume(100)


def test_a_router_that_does_not_answer_is_not_gone_on_with_after_a_kill(lease: Lease, router: Router) -> None:
    lease.take(100)
    router.answers = False

    assert lease.keep(100) == ""  # It is silent, and its share ends by itself.
    assert "it does not answer" in lease.resume(100)


@pytest.mark.parametrize(("limit", "until_s"), [(0, 0), (10_000, FOREVER_S)])
def test_the_last_share_stays(lease: Lease, router: Router, limit: int, until_s: int) -> None:
    lease.settle(limit)

    assert (router.setting.limit, router.setting.until_s) == (limit, until_s)
