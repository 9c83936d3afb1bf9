"""What an answer means, and what follows from it for the payment."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retryqueue import Ambiguous, Declined, Lease, Payment, Policy, Succeeded
from retryqueue.outcome import from_reply
from retryqueue.settlement import LONGEST_REFERENCE, verdict

LEASE = Lease(Payment(key="order-1", user_id="u", amount_minor=1, currency="EUR", payment_method_id="pm"), 1, 1, 0, limit=5)


def told(outcome: Any) -> tuple[str, tuple[Any, ...]]:
    made = verdict(LEASE, outcome, Policy(), random.Random(1))
    return made.transition, made.facts


bodies = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "status", "error", "type", "code"]), inner)
    ),
    max_leaves=8,
)


@given(
    status=st.integers(100, 599),
    body=st.dictionaries(st.sampled_from(["id", "paid", "status", "error", "captured"]), bodies),
    is_first=st.booleans(),
)
def test_every_answer_has_a_meaning_and_only_a_clear_one_is_certain(
    status: int, body: dict[str, Any], *, is_first: bool
) -> None:
    outcome = from_reply(status, body, is_first=is_first)

    if isinstance(outcome, Succeeded):
        assert status in {200, 201}
        assert body["status"] == "succeeded"
        assert outcome.reference
    elif isinstance(outcome, Declined):
        assert status in {400, 402, 404, 422}
        assert isinstance(body["error"], dict)
    else:
        assert isinstance(outcome, Ambiguous)


@pytest.mark.parametrize("status", [200, 201])
def test_a_charge_that_succeeded_is_a_success(status: int) -> None:
    assert from_reply(status, {"id": "ch_1", "status": "succeeded", "paid": True}) == Succeeded("ch_1")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {}), (200, {"id": "ch_1"}), (200, {"status": "succeeded"}), (200, {"id": "", "status": "succeeded"}),
        (200, {"id": "ch_1", "status": "pending"}), (200, {"id": "ch_1", "status": "failed"}),
        (200, {"id": "ch_1", "status": "succeeded", "error": {"type": "api_error"}}),
        (202, {"id": "ch_1", "status": "succeeded"}),
        (301, {}), (401, {"error": {"type": "invalid_request_error"}}), (402, {}), (402, {"error": "text"}),
        (403, {}), (408, {}),
        (409, {"error": {"type": "idempotency_error"}}), (425, {}), (429, {"error": {"type": "invalid_request_error"}}),
        (500, {"error": {"type": "card_error"}}), (502, {}), (503, {}), (504, {}), (400, {}), (422, {}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_first", [True, False])
def test_what_does_not_say_how_it_went_is_ambiguous(status: int, body: dict[str, Any], *, is_first: bool) -> None:
    assert isinstance(from_reply(status, body, is_first=is_first), Ambiguous)


def test_a_decline_has_the_most_telling_reason() -> None:
    error = {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds"}
    assert from_reply(402, {"error": error}) == Declined("insufficient_funds")
    assert from_reply(402, {"error": {"type": "card_error", "code": "expired_card"}}) == Declined("expired_card", final=True)


def test_a_malformed_request_is_final_only_if_nothing_was_sent_under_its_key_before() -> None:
    body = {"error": {"type": "invalid_request_error", "code": "parameter_invalid_integer"}}
    assert from_reply(400, body, is_first=True) == Declined("parameter_invalid_integer", final=True)
    assert isinstance(from_reply(400, body, is_first=False), Ambiguous)


def test_a_success_is_told_with_its_reference() -> None:
    assert told(Succeeded("ch_1")) == ("succeed", ("ch_1",))


def test_a_final_decline_buries() -> None:
    assert told(Declined("stolen_card", final=True)) == ("bury", ("stolen_card",))


def test_a_decline_and_an_unknown_answer_wait_and_differ_in_what_they_say_of_the_generation() -> None:
    for outcome, declined in ((Declined("insufficient_funds"), 1), (Ambiguous("HTTP 500"), 0)):
        transition, (wait_ms, said, reason) = told(outcome)
        assert (transition, said, reason) == ("reschedule", declined, outcome.reason)
        assert 0 <= wait_ms <= 1_000


@pytest.mark.parametrize("nothing", [None, True, "paid", 5, {}, Succeeded, Declined, ValueError("no"), ("ch_1",)])
def test_what_is_no_outcome_is_taken_for_an_unknown_one(nothing: object) -> None:
    transition, (_, declined, reason) = told(nothing)
    assert (transition, declined) == ("reschedule", 0)
    assert "no outcome" in reason


@pytest.mark.parametrize("text", [None, 5, b"x", "\ud800", "a\nb", "x" * 10_000, "", "\x00"])
def test_texts_of_any_kind_can_be_stored(text: Any) -> None:
    for outcome in (Succeeded(text), Declined(text), Declined(text, final=True), Ambiguous(text)):
        for fact in told(outcome)[1]:
            assert len(str(fact).encode()) <= 2_000
    assert len(told(Succeeded("x" * 10_000))[1][0]) == LONGEST_REFERENCE


def test_card_numbers_do_not_reach_the_reason() -> None:
    for outcome in (
        Declined("4242 4242 4242 4242 refused"),
        Declined("4242424242424242", final=True),
        Ambiguous("4242424242424242"),
    ):
        assert "[card number]" in told(outcome)[1][-1]
        assert "4242" not in told(outcome)[1][-1]
