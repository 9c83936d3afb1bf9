"""Charging over HTTP: each answer of the provider becomes the outcome that keeps a payment from being lost or doubled."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import pytest
from charging import AsyncCharger, BlockingCharger
from provider import RunningProvider, running_provider

from retryqueue.outcome import Ambiguous, Declined, Outcome, Succeeded
from retryqueue.payment import Payment
from retryqueue.states import Lease

if TYPE_CHECKING:
    from collections.abc import Iterator

Charging = Callable[..., AbstractContextManager[Callable[[Lease], Outcome]]]


@contextmanager
def blocking(url: str, timeout_s: float = 10, api_key: str = "") -> Iterator[Callable[[Lease], Outcome]]:
    with BlockingCharger(url, timeout_s=timeout_s, api_key=api_key) as charger:
        yield charger.charge


@contextmanager
def with_asyncio(url: str, timeout_s: float = 10, api_key: str = "") -> Iterator[Callable[[Lease], Outcome]]:
    with asyncio.Runner() as runner:
        charger = AsyncCharger(url, timeout_s=timeout_s, api_key=api_key)
        yield lambda lease: runner.run(charger.charge(lease))
        runner.run(charger.aclose())


both = pytest.mark.parametrize("charging", [blocking, with_asyncio])


@pytest.fixture
def provider() -> Iterator[RunningProvider]:
    with running_provider() as running:
        yield running


def lease(key: str = "order", attempt: int = 1, generation: int = 1) -> Lease:
    payment = Payment(key=key, user_id="u1", amount_minor=4999, currency="EUR", payment_method_id="pm_1")
    return Lease(payment, attempt=attempt, generation=generation, enqueued_at_ms=0)


@both
def test_a_charge_succeeds_with_the_providers_reference(provider: RunningProvider, charging: Charging) -> None:
    with charging(provider.url) as charge:
        told = charge(lease())

    (entry,) = provider.charges()
    assert told == Succeeded(entry["id"])
    assert (entry["payment"], entry["key"], entry["amount"], entry["currency"]) == ("order", "order:1", 4999, "eur")
    assert (entry["customer"], entry["payment_method"]) == ("u1", "pm_1")


@both
@pytest.mark.parametrize("mood", ["lost-reply", "cut-reply", "garbage-reply"])
def test_a_reply_that_does_not_arrive_whole_is_ambiguous_until_it_is_asked_for_again(
    provider: RunningProvider, charging: Charging, mood: str
) -> None:
    provider.plan({"order": [mood, "ok"]})
    with charging(provider.url) as charge:
        first, second = charge(lease()), charge(lease(attempt=2))

    assert isinstance(first, Ambiguous)
    assert isinstance(second, Succeeded)
    assert provider.ledger() == {"order": 1}


@both
@pytest.mark.parametrize("mood", ["429", "502", "lost-request", "500-before", "500-after", "pending"])
def test_what_does_not_say_that_no_money_moved_under_this_key_is_ambiguous(
    provider: RunningProvider, charging: Charging, mood: str
) -> None:
    provider.plan({"order": [mood]})
    with charging(provider.url) as charge:
        assert isinstance(charge(lease()), Ambiguous)


@both
@pytest.mark.parametrize("refusal", ["429", "502", "lost-request"])
def test_a_refusal_after_a_lost_reply_does_not_pass_for_a_decline(
    provider: RunningProvider, charging: Charging, refusal: str
) -> None:
    provider.plan({"order": ["lost-reply", refusal, "ok"]})
    with charging(provider.url) as charge:
        told = [charge(lease(attempt=attempt)) for attempt in (1, 2, 3)]

    assert [type(one) for one in told] == [Ambiguous, Ambiguous, Succeeded]
    assert provider.ledger() == {"order": 1}


@both
@pytest.mark.parametrize(
    ("mood", "declined"),
    [
        ("insufficient-funds", Declined("insufficient_funds")),
        ("processing-error", Declined("processing_error")),
        ("stolen-card", Declined("stolen_card", final=True)),
        ("do-not-retry", Declined("do_not_honor", final=True)),
        ("confirm-card-data", Declined("incorrect_cvc", final=True)),
        ("authentication-required", Declined("authentication_required", final=True)),
    ],
)
def test_a_decline_is_final_where_the_advice_or_its_code_says_so(
    provider: RunningProvider, charging: Charging, mood: str, declined: Declined
) -> None:
    provider.plan({"order": [mood]})
    with charging(provider.url) as charge:
        assert charge(lease()) == declined
        assert charge(lease()) == declined, "A decline is replayed under its key."
        assert isinstance(charge(lease(generation=2)), Succeeded)
    assert provider.ledger() == {"order": 1}


@both
def test_a_timeout_is_ambiguous_and_its_connection_is_not_used_again(provider: RunningProvider, charging: Charging) -> None:
    provider.plan({"slow": ["ok@5000"]})
    with charging(provider.url, timeout_s=0.5) as charge:
        assert isinstance(charge(lease("slow")), Ambiguous)
        tries = (charge(lease("another", attempt=attempt)) for attempt in range(1, 100))  # A slow machine may need some.
        told = next(told for told in tries if not isinstance(told, Ambiguous))

    (charged,) = [entry for entry in provider.charges() if entry["payment"] == "another"]
    assert told == Succeeded(charged["id"]), "Not the late answer to the first request."


@both
def test_a_key_in_use_is_ambiguous(provider: RunningProvider, charging: Charging) -> None:
    provider.plan({"order": ["ok@60000"]})
    with charging(provider.url, timeout_s=2) as charge:
        told = [charge(lease()), charge(lease())]

    assert [type(one) for one in told] == [Ambiguous, Ambiguous]
    assert provider.summary()["answers"] == {"409": 1}


@both
def test_a_wrong_api_key_is_ambiguous_because_an_earlier_attempt_may_have_had_the_right_one(charging: Charging) -> None:
    with running_provider(api_key="right") as provider, charging(provider.url, api_key="wrong") as charge:
        assert isinstance(charge(lease()), Ambiguous)


@both
def test_the_same_key_for_another_payment_is_ambiguous(provider: RunningProvider, charging: Charging) -> None:
    other = Payment(key="order", user_id="u1", amount_minor=1, currency="EUR", payment_method_id="pm_1")
    with charging(provider.url) as charge:
        charge(lease())

        assert isinstance(charge(Lease(other, 1, 1, 0)), Ambiguous)


@both
def test_no_provider_at_all_is_ambiguous(charging: Charging) -> None:
    with running_provider() as provider:
        gone = provider.url
    with charging(gone) as charge:
        assert isinstance(charge(lease()), Ambiguous)


def test_each_thread_keeps_one_connection(provider: RunningProvider) -> None:
    with BlockingCharger(provider.url) as charger, ThreadPoolExecutor(4) as threads:
        told = list(threads.map(lambda number: charger.charge(lease(f"order-{number}")), range(200)))

    assert all(isinstance(one, Succeeded) for one in told)
    assert provider.ledger() == {f"order-{number}": 1 for number in range(200)}
    assert provider.summary()["connections"] <= 4 + 2  # And those that asked for the ledger and for this.


def test_asyncio_keeps_few_connections_however_many_charge_at_once(provider: RunningProvider) -> None:
    async def charge_all() -> list[Outcome]:
        async with AsyncCharger(provider.url, connections=3) as charger:
            return await asyncio.gather(*(charger.charge(lease(f"order-{number}")) for number in range(200)))

    told = asyncio.run(charge_all())

    assert all(isinstance(one, Succeeded) for one in told)
    assert provider.ledger() == {f"order-{number}": 1 for number in range(200)}
    assert provider.summary()["connections"] <= 3 + 2


def test_a_charge_that_is_cancelled_gives_its_place_back_but_not_its_connection(provider: RunningProvider) -> None:
    async def cancel_then_charge() -> Outcome:
        async with AsyncCharger(provider.url, connections=1) as charger:
            task = asyncio.create_task(charger.charge(lease("slow")))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await charger.charge(lease("another"))

    provider.plan({"slow": ["ok@5000"]})
    told = asyncio.run(cancel_then_charge())

    assert isinstance(told, Succeeded)
    assert provider.ledger()["another"] == 1


def test_a_worker_can_tell_which_kind_of_charge_it_was_given(provider: RunningProvider) -> None:
    assert inspect.iscoroutinefunction(AsyncCharger(provider.url).charge)
    assert not inspect.iscoroutinefunction(BlockingCharger(provider.url).charge)
