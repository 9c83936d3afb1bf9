"""What a payment is, and what is none: every bad field named at once, and one form for what is the same."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import unicodedata
import uuid
from decimal import Decimal
from functools import reduce
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from retryqueue import InvalidPayment, Payment
from retryqueue import payment as module
from retryqueue.currencies import DECIMAL_PLACES
from retryqueue.payment import LARGEST_AMOUNT, LONGEST_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

USUAL: dict[str, Any] = {"user_id": "user-1", "amount_minor": 4999, "currency": "EUR", "payment_method_id": "pm_1"}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
extras = st.dictionaries(texts, values, max_size=5)
names = st.text(min_size=1, max_size=LONGEST_TEXT).filter(lambda text: text.isprintable() and bool(text.strip()))
keys = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200)
payments = st.builds(
    Payment,
    key=keys,
    user_id=names | keys,
    amount_minor=st.integers(1, LARGEST_AMOUNT),
    currency=st.sampled_from(sorted(DECIMAL_PLACES)),
    payment_method_id=names.map(lambda text: f"pm_{text}"[:LONGEST_TEXT]),
    details=extras,
    context=extras,
)


def payment(key: str = "order-1", **changed: Any) -> Payment:
    return Payment(key=key, **{**USUAL, **changed})


def problems_of(**changed: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidPayment) as caught:
        payment(**changed)
    return caught.value.problems


def test_every_bad_field_is_named_at_once() -> None:
    problems = problems_of(
        key="", user_id=None, amount_minor=1.5, currency="eur", payment_method_id="\n", details=[], context={"a": {1, 2}}
    )

    assert [problem.split()[0] for problem in problems[:6]] == [
        "key", "user_id", "amount_minor", "currency", "payment_method_id", "details",
    ]  # fmt: skip


def test_the_error_says_all_of_it_in_one_line() -> None:
    with pytest.raises(InvalidPayment, match="user_id is empty; amount_minor must be from 1") as caught:
        payment(user_id=" ", amount_minor=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "bad",
    [1.0, 49.99, float("nan"), float("inf"), True, False, "4999", "", None, Decimal(1), Decimal("nan"), b"1", [1], 1 + 0j,
     0, -1, -4999, LARGEST_AMOUNT + 1, 10**400, -(10**400), 10**5000],
    ids=lambda bad: f"{type(bad).__name__}",
)  # fmt: skip
def test_an_amount_is_a_whole_number_of_minor_units(bad: object) -> None:
    (problem,) = problems_of(amount_minor=bad)
    assert problem.startswith("amount_minor ")
    assert len(problem) < 200


@pytest.mark.parametrize("amount_minor", [1, 4999, LARGEST_AMOUNT])
def test_every_amount_from_one_minor_unit_on_is_taken(amount_minor: int) -> None:
    assert payment(amount_minor=amount_minor).amount_minor == amount_minor


BAD_TEXTS = [
    None, "", " ", "\t\n", "\u00a0", "\u3000", 5, 5.0, True, b"user", ["user"], {"user": 1}, "x" * (LONGEST_TEXT + 1),
    "a\x00b", "a\x1b[31mb", "a\nb", "a\x7f", "a\u200eb", "a\u2028b", "\ud800", "a\udfffb", "\ue000",
]  # fmt: skip


@pytest.mark.parametrize("name", ["key", "user_id", "payment_method_id"])
@pytest.mark.parametrize("bad", BAD_TEXTS)
def test_a_name_is_printable_text_of_bounded_length(name: str, bad: object) -> None:
    (problem,) = problems_of(**{name: bad})
    assert problem.startswith(f"{name} ")
    problem.encode()  # It can be logged.


@pytest.mark.parametrize("bad", ["order 1", "ördér", "注文-1", "x" * 201, "é"])
def test_a_key_fits_a_header_with_its_generation(bad: str) -> None:
    (problem,) = problems_of(key=bad)
    assert problem.startswith("key must be 1 to 200 visible ASCII characters")
    assert payment(user_id=bad[:100]).user_id == bad[:100]


@given(keys)
def test_every_key_of_visible_ascii_is_taken(key: str) -> None:
    assert payment(key).key == key


@pytest.mark.parametrize("bad", ["eur", "EU", "EURO", "XXX", "XTS", "XAU", "", " EUR", None, 978, b"EUR", ["EUR"], {}])
def test_a_currency_is_a_code_of_iso_4217_in_capitals(bad: object) -> None:
    (problem,) = problems_of(currency=bad)
    assert problem.startswith("currency ")


def test_currencies_have_the_places_of_the_standard() -> None:
    assert {code: DECIMAL_PLACES[code] for code in ("EUR", "JPY", "KWD", "CLP", "TND", "ISK", "UGX", "HUF")} == {
        "EUR": 2, "JPY": 0, "KWD": 3, "CLP": 0, "TND": 3, "ISK": 0, "UGX": 0, "HUF": 2,
    }  # fmt: skip
    assert all(len(code) == 3 and code.isupper() for code in DECIMAL_PLACES)


@pytest.mark.parametrize(
    "number",
    ["4242424242424242", "4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005", "30569309025904", "6011111111111117",
     "3530111333300000", "2223003122003222", "6200000000000005"],
)  # fmt: skip
def test_a_card_number_is_no_payment_method_and_the_message_does_not_repeat_it(number: str) -> None:
    (problem,) = problems_of(payment_method_id=number)
    assert "card number" in problem
    assert not set(problem) & set("0123456789")


def test_a_payment_that_is_shown_does_not_tell_the_payment_method() -> None:
    shown = repr(payment(details={"iban": "secret"}, context={"token": "secret"}))
    assert "pm_1" not in shown
    assert "secret" not in shown


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    return reduce(lambda value, _: {"a": value}, range(depth), inner)


def circular() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


@pytest.mark.parametrize("name", ["details", "context"])
@pytest.mark.parametrize(
    "bad",
    [
        None, 5, "text", ["a"], {"a": float("nan")}, {"a": float("inf")}, {"a": {1}}, {"a": b"x"}, {"a": Decimal(1)},
        {"a": uuid.UUID(int=1)}, {"a": object()}, {"a": "\ud800"}, {"\ud800": 1}, {"a": "x" * 30_000}, {(1, 2): 1},
        {1: "a", "b": "c"}, circular(), nested(100_000),
    ],
    ids=lambda bad: type(bad).__name__,
)  # fmt: skip
def test_details_and_context_are_json_of_bounded_size(name: str, bad: object) -> None:
    (problem,) = problems_of(**{name: bad})
    assert name in problem


def test_details_and_context_are_named_together() -> None:
    assert len(problems_of(details={"a": {1}}, context={"b": {2}})) == 2


# One form for what is the same.


@given(extras, st.randoms(use_true_random=False))
def test_the_order_of_fields_makes_no_difference(details: dict[str, Any], chance: Any) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            items = [(name, shuffled(inner)) for name, inner in value.items()]
            chance.shuffle(items)
            return dict(items)
        return [shuffled(inner) for inner in value] if isinstance(value, list) else value

    assert payment(details=shuffled(details)).fingerprint == payment(details=details).fingerprint


@given(extras, extras)
@example({"a": 1}, {"a": "1"})
@example({"a": 1}, {"a": True})
@example({"a": None}, {})
@example({"a": [1, 2]}, {"a": [2, 1]})
@example({"a": {"b": 1}}, {"a": {}, "b": 1})
def test_different_details_have_different_fingerprints(one: dict[str, Any], other: dict[str, Any]) -> None:
    assume(json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True))
    assert payment(details=one).fingerprint != payment(details=other).fingerprint


@given(extras)
def test_what_accompanies_a_payment_is_not_compared(context: dict[str, Any]) -> None:
    assert payment(context=context).fingerprint == payment().fingerprint


@pytest.mark.parametrize(
    "changed", [{"user_id": "user-2"}, {"amount_minor": 5000}, {"currency": "USD"}, {"payment_method_id": "pm_2"}]
)
def test_each_field_is_compared(changed: dict[str, Any]) -> None:
    assert payment(**changed).fingerprint != payment().fingerprint


def test_fields_do_not_run_into_each_other() -> None:
    assert payment(user_id="ab", payment_method_id="c").fingerprint != payment(user_id="a", payment_method_id="bc").fingerprint
    assert payment(user_id='a","b').fingerprint != payment(user_id="a").fingerprint


def test_text_is_compared_as_it_is_so_composed_and_decomposed_letters_differ() -> None:
    """Two spellings that look alike are two texts: a conflict is told, and nothing is guessed to be the same."""
    composed = "Zoë"
    decomposed = unicodedata.normalize("NFD", composed)
    assert payment(user_id=composed).fingerprint != payment(user_id=decomposed).fingerprint
    fields = {**USUAL, "order_id": composed}
    assert (
        Payment.identified_by(["order_id"], fields).key
        != Payment.identified_by(["order_id"], {**fields, "order_id": decomposed}).key
    )


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    details = {"b": [1, {"y": 2.5, "x": "ü"}], "a": None}
    code = (
        "from retryqueue import Payment; "
        "print(Payment(key='k', user_id='u', amount_minor=1, currency='EUR', payment_method_id='pm', "
        f"details={details!r}).fingerprint.hex())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        ).stdout.strip()
        for seed in ("0", "1")
    }
    assert seen == {payment("k", user_id="u", amount_minor=1, payment_method_id="pm", details=details).fingerprint.hex()}


@given(payments)
def test_a_payment_comes_back_from_its_stored_form(one: Payment) -> None:
    back = Payment.from_json(one.key, one.to_json())

    assert back == one
    assert back.fingerprint == one.fingerprint
    assert back.to_json() == one.to_json()


@given(payments)
def test_a_payment_can_be_pickled(one: Payment) -> None:
    back = pickle.loads(pickle.dumps(one))  # noqa: S301 - our own bytes.
    assert back == one
    assert back.fingerprint == one.fingerprint


def test_errors_can_be_pickled_with_all_that_they_tell() -> None:
    with pytest.raises(InvalidPayment) as caught:
        payment(user_id="", amount_minor=0)
    back = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes.
    assert (str(back), back.problems) == (str(caught.value), caught.value.problems)


def test_a_payment_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        payment().amount_minor = 1  # type: ignore[misc]


@given(st.binary(max_size=40))
@example(b"")
@example(b"[]")
@example(b"null")
@example(b"5")
@example(b'"abcdef"')
@example(b'{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6}')
@example(b'["u",1,"EUR","pm",{},{},{}]')
@example(b'["u",1,"EUR","pm",{}]')
@example(b'["u",1.0,"EUR","pm",{},{}]')
@example(b'["u",true,"EUR","pm",{},{}]')
@example(b'["u",1,"EUR","pm",[],{}]')
@example(b'["u",1,["EUR"],"pm",{},{}]')
@example(b'["u",NaN,"EUR","pm",{},{}]')
@example(b"[" * 100_000)
@example(b'["u",' + b"9" * 5_000 + b',"EUR","pm",{},{}]')
@example(b'["\\ud800",1,"EUR","pm",{},{}]')
def test_bytes_that_are_no_payment_are_an_invalid_payment_and_no_other_error(raw: bytes) -> None:
    with pytest.raises(InvalidPayment):
        Payment.from_json("order-1", raw)


# Keys made of fields.


def test_a_key_is_the_same_for_the_same_values_whatever_their_order_and_company() -> None:
    one = Payment.identified_by(["shop", "order_id"], {**USUAL, "order_id": "1041", "shop": "a"})
    other = Payment.identified_by(["order_id", "shop"], {"shop": "a", "order_id": "1041", **USUAL, "context": {"trace": "9"}})

    assert one.key == other.key
    assert one.fingerprint == other.fingerprint
    assert one.details == {"order_id": "1041", "shop": "a"}


def test_a_number_names_the_same_purchase_as_its_text() -> None:
    assert Payment.identified_by(["order_id"], {**USUAL, "order_id": 1041}).key == (
        Payment.identified_by(["order_id"], {**USUAL, "order_id": "1041"}).key
    )


@given(st.lists(st.tuples(names, names), min_size=2, max_size=2, unique=True))
def test_different_values_make_different_keys(values: list[tuple[str, str]]) -> None:
    made = [Payment.identified_by(["a", "b"], {**USUAL, "a": a, "b": b}).key for a, b in values]
    assert made[0] != made[1]


def test_the_declared_names_are_part_of_the_key() -> None:
    fields = {**USUAL, "order_id": "7", "intent": "7"}
    assert Payment.identified_by(["order_id"], fields).key != Payment.identified_by(["intent"], fields).key


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("user_id",),
        ("amount_minor", "currency"),
        ("user_id", "amount_minor", "currency", "payment_method_id"),
        ("context",),
    ],
)
def test_fields_that_do_not_name_a_purchase_make_no_key(names: tuple[str, ...]) -> None:
    with pytest.raises(InvalidPayment, match="takes two equal purchases for one"):
        Payment.identified_by(names, {**USUAL, "order_id": "7", "context": "x"})


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "",
        " ",
        "\n",
        "\ud800",
        True,
        False,
        1.5,
        float("nan"),
        [],
        ["a"],
        {},
        {"a": 1},
        {1},
        b"7",
        Decimal(7),
        uuid.UUID(int=7),
    ],
)
def test_what_names_a_purchase_is_text_or_a_whole_number(bad: object) -> None:
    with pytest.raises(InvalidPayment, match="order_id"):
        Payment.identified_by(["order_id"], {**USUAL, "order_id": bad})
    with pytest.raises(InvalidPayment, match="order_id"):
        Payment.identified_by(["order_id"], USUAL)


def test_every_missing_field_is_named_when_a_payment_is_made_of_fields() -> None:
    with pytest.raises(InvalidPayment) as caught:
        Payment.from_fields("order-1", {})
    assert caught.value.problems == (
        "user_id is missing", "amount_minor is missing", "currency is missing", "payment_method_id is missing",
    )  # fmt: skip


@pytest.mark.parametrize("bad", ["oops", ["a"], 5])
def test_details_that_are_no_mapping_are_named_and_not_dropped(bad: object) -> None:
    with pytest.raises(InvalidPayment, match="details must be a mapping"):
        Payment.from_fields("order-1", {**USUAL, "details": bad})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.text(st.sampled_from('"\\\n\x7f\u2028\ud800é')),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=4) | st.integers(), values, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_the_quick_canonical_form_is_the_canonical_form(value: object) -> None:
    def made(canonical: Callable[[object], str]) -> object:
        try:
            return canonical(value)
        except (TypeError, ValueError) as error:
            return type(error)

    assert made(module._quickly) == made(module._canonical)


def test_a_python_without_the_quick_encoder_makes_the_same_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    assert module._quick_canonical() is module._canonical


def test_details_that_contain_themselves_are_refused() -> None:
    details: dict[str, Any] = {}
    details["again"] = details
    with pytest.raises(InvalidPayment, match="details must be JSON"):
        payment(details=details)


@given(payments)
def test_what_is_charged_is_the_same_however_it_was_made(one: Payment) -> None:
    charged = [one.user_id, one.amount_minor, one.currency, one.payment_method_id, dict(one.details)]
    assert one.what_is_charged == module._canonical(charged).encode()
