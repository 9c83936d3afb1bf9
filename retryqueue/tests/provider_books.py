"""The books of the tests' payment provider: idempotency keys, moods and a true ledger. No sockets, no threads.

See `provider`, which puts them behind HTTP.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DAY_MS = 86_400_000
LONGEST_KEY = 255

# Before anything is done: any request may meet these, nothing is charged and nothing is saved.
BEFORE = ("429", "502", "lost-request")
# What the first request under a key comes to. A later one is told the same, whatever its own mood.
CARRIED_OUT = ("ok", "pending", "500-before", "500-after")
# So are declines: error code, decline code and advice code.
DECLINES: dict[str, tuple[str, str | None, str | None]] = {
    "insufficient-funds": ("card_declined", "insufficient_funds", "try_again_later"),
    "processing-error": ("processing_error", None, None),
    "generic-decline": ("card_declined", "generic_decline", None),
    "stolen-card": ("card_declined", "stolen_card", "do_not_try_again"),
    "do-not-retry": ("card_declined", "do_not_honor", "do_not_try_again"),
    "confirm-card-data": ("incorrect_cvc", "incorrect_cvc", "confirm_card_data"),
    "authentication-required": ("authentication_required", "authentication_required", None),
}
# After it was carried out, or looked up, the answer suffers: reset connection, half an answer, a page instead of JSON.
AFTER = ("lost-reply", "cut-reply", "garbage-reply")
MOODS = frozenset({*BEFORE, *CARRIED_OUT, *DECLINES, *AFTER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a provider behaves.

    Attributes:
        share: Which part of all requests meets which mood, such as `{"lost-reply": 0.05}`; the rest are `ok`.
        seed: Decides, with the payment and the number of the request for it, which requests these are: the same ones in
            every run, in whatever order the payments come.
        keys: `honoured`, or `forgotten`: then every request charges, which proves that a test can fail.
        key_life_ms: How long a key is known, from its first request.
        delay_ms: How long carrying out takes; the charge is made at its end, whether or not anybody still waits.
        api_key: What `Authorization: Bearer` must hold; anything, if empty.

    Raises:
        ValueError: If a mood is unknown or a number makes no sense.
    """

    share: Mapping[str, float] = field(default_factory=dict[str, float])
    seed: int = 0
    keys: str = "honoured"
    key_life_ms: int = DAY_MS
    delay_ms: int = 0
    api_key: str = ""

    def __post_init__(self) -> None:
        problems = [_unknown(mood) for mood in self.share if mood not in MOODS]
        shares = list(self.share.values())
        if not all(math.isfinite(share) and share >= 0 for share in shares) or math.fsum(shares) > 1 + 1e-9:
            problems.append(f"shares must be parts of 1, found {shares}")
        if self.keys not in {"honoured", "forgotten"}:
            problems.append(f"keys are honoured or forgotten, found {self.keys!r}")
        if min(self.key_life_ms, self.delay_ms) < 0:
            problems.append("times must not be negative")
        if problems:
            raise ValueError("; ".join(problems))


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, and what befalls it on its way: nothing, a mood of `AFTER`, or `lost-request`."""

    status: int
    body: bytes
    content_type: str = "application/json"
    replayed: bool = False
    harm: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """What one request meets; the delay is the usual one if none is named."""

    mood: str = "ok"
    delay_ms: int | None = None

    @classmethod
    def from_text(cls, text: object) -> Self:
        """A step such as `lost-reply` or `ok@250`.

        Raises:
            ValueError: If it is none.
        """
        mood, _, delay_ms = str(text).partition("@")
        if mood not in MOODS or not re.fullmatch(r"[0-9]{0,9}", delay_ms):
            raise ValueError(_unknown(text))
        return cls(mood, int(delay_ms) if delay_ms else None)


@dataclass(frozen=True, slots=True)
class Execution:
    """A request on its way to a charge: begun, and to be finished in `delay_ms`."""

    key: str
    payment: str
    parameters: Mapping[str, Any]
    mood: str
    delay_ms: int
    begun_at_ms: int


@dataclass(frozen=True, slots=True)
class Saved:
    """What is known of a key: the parameters of its first request, when that came, and how it was answered."""

    parameters: Mapping[str, Any]
    begun_at_ms: int
    answer: Answer


@dataclass(frozen=True, slots=True)
class Charge:
    """One charge in the ledger; `amount` is in the currency's minor unit, `at_ms` on the provider's clock."""

    id: str
    payment: str
    key: str
    amount: int
    currency: str
    customer: str
    payment_method: str
    status: str
    at_ms: int


class RefusedError(ValueError):
    """A request that is refused without being carried out.

    Attributes:
        answer: What the client is told.
    """

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.answer = error_answer(400, "invalid_request_error", message, code=code, param=param)


def json_answer(status: int, value: object) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, json.dumps(value, separators=(",", ":")).encode())


def error_answer(status: int, kind: str, message: str, **more: str | None) -> Answer:
    """An error in the form of Stripe's; what is `None` is left out."""
    known = {name: value for name, value in more.items() if value is not None}
    return json_answer(status, {"error": {"type": kind, "message": message, **known}})


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body holds.

    Raises:
        RefusedError: If it holds none.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError("The body is no JSON.") from None
    if not isinstance(value, dict):
        raise RefusedError("The body is no JSON object.")
    return cast("dict[str, Any]", value)


PAGE = b"<html><body><h1>An error of a machine in between</h1></body></html>"
AT_ONCE = {
    "429": error_answer(429, "invalid_request_error", "Too many requests.", code="rate_limit"),
    "502": Answer(502, PAGE, "text/html"),
    "lost-request": Answer(0, b"", harm="lost-request"),
}
SERVER_ERROR = error_answer(500, "api_error", "An unknown error occurred.")
WRONG_API_KEY = error_answer(401, "invalid_request_error", "This API key is not valid.")
OTHER_PARAMETERS = error_answer(400, "idempotency_error", "This idempotency key was first used with other parameters.")
KEY_IN_USE = error_answer(
    409, "idempotency_error", "A request with this idempotency key is in progress.", code="idempotency_key_in_use"
)


class Provider:
    """Keys, plans and the ledger.

    Each method is one step: nothing is half done when it returns, so requests of one event loop cannot race. A client that
    goes away changes nothing.

    Attributes:
        settings: How it behaves now.
        ledger: Every charge, oldest first.
        connections: How many were opened.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger: list[Charge] = []
        self.connections = 0
        self._answers: Counter[str] = Counter()
        self._replayed = 0
        self._saved: dict[str, Saved] = {}
        self._in_use: set[str] = set()
        self._running = 0
        self._plans: dict[str, deque[Step]] = {}
        self._requests: Counter[str] = Counter()
        self._forward_ms = 0

    def begin(self, headers: Mapping[str, str], body: bytes) -> Answer | Execution:
        """What a request to charge is answered at once, or what is to be finished; names of headers in small letters."""
        began = self._begin(headers, body)
        return self._counted(began) if isinstance(began, Answer) else began

    def finish(self, execution: Execution) -> Answer:
        """Carries out what was begun, and saves the answer under its key."""
        self._running -= 1
        self._in_use.discard(execution.key)
        answer = self._carry_out(execution)
        if execution.key and self.settings.keys == "honoured":
            self._saved[execution.key] = Saved(execution.parameters, execution.begun_at_ms, answer)
        return self._counted(_harmed(answer, execution.mood))

    def plan(self, steps: Mapping[str, Iterable[object]]) -> None:
        """Decides what the next requests for these payments meet, one step for each."""
        self._plans |= {payment: deque(map(Step.from_text, texts)) for payment, texts in steps.items()}

    def change(self, settings: Mapping[str, Any]) -> None:
        """Changes some settings, from the next request on."""
        self.settings = replace(self.settings, **settings)

    def forward(self, ms: int) -> None:
        """Moves the clock on."""
        self._forward_ms += ms

    def charges_by_payment(self) -> dict[str, int]:
        """How often each payment was charged."""
        return dict(Counter(charge.payment for charge in self.ledger))

    def summary(self) -> dict[str, Any]:
        """Totals.

        `running` requests may still become charges. `answers` counts requests to charge by the status that they were
        answered with or, where that did not arrive whole, by the mood that was to blame.
        """
        by_payment = self.charges_by_payment()
        amounts: Counter[str] = Counter()
        for charge in self.ledger:
            amounts[charge.currency] += charge.amount
        return {
            "charges": len(self.ledger),
            "payments": len(by_payment),
            "charged_more_than_once": {payment: count for payment, count in by_payment.items() if count > 1},
            "amounts": dict(amounts),
            "running": self._running,
            "answers": dict(self._answers),
            "replayed": self._replayed,
            "connections": self.connections,
        }

    def _begin(self, headers: Mapping[str, str], body: bytes) -> Answer | Execution:
        if self.settings.api_key and headers.get("authorization") != f"Bearer {self.settings.api_key}":
            return WRONG_API_KEY
        try:
            key = _idempotency_key(headers)
            parameters = _charge_parameters(body)
        except RefusedError as refused:
            return refused.answer
        payment = _payment(parameters, key)
        step = self._next_step(payment)
        if step.mood in AT_ONCE:
            return AT_ONCE[step.mood]
        known = self._known(key, parameters)
        if known is not None:
            return _harmed(known, step.mood)
        delay_ms = self.settings.delay_ms if step.delay_ms is None else step.delay_ms
        return self._started(Execution(key, payment, parameters, step.mood, delay_ms, self._now_ms()))

    def _known(self, key: str, parameters: Mapping[str, Any]) -> Answer | None:
        """What a request is told because of an earlier one under its key."""
        if self.settings.keys == "forgotten":
            return None
        saved = self._saved.get(key)
        if saved is not None and saved.begun_at_ms + self.settings.key_life_ms > self._now_ms():
            return replace(saved.answer, replayed=True) if saved.parameters == parameters else OTHER_PARAMETERS
        return KEY_IN_USE if key in self._in_use else None

    def _started(self, execution: Execution) -> Execution:
        self._running += 1
        if execution.key:
            self._in_use.add(execution.key)
        return execution

    def _carry_out(self, execution: Execution) -> Answer:
        if execution.mood in DECLINES:
            return _declined(execution.mood)
        if execution.mood == "500-before":
            return SERVER_ERROR
        charge = self._charge(execution)
        return SERVER_ERROR if execution.mood == "500-after" else _charged(charge)

    def _charge(self, execution: Execution) -> Charge:
        charge = Charge(
            id=f"ch_{len(self.ledger) + 1}",
            payment=execution.payment,
            key=execution.key,
            amount=execution.parameters["amount"],
            currency=execution.parameters["currency"],
            customer=execution.parameters["customer"],
            payment_method=execution.parameters["payment_method"],
            status="pending" if execution.mood == "pending" else "succeeded",
            at_ms=self._now_ms(),
        )
        self.ledger.append(charge)
        return charge

    def _next_step(self, payment: str) -> Step:
        self._requests[payment] += 1
        planned = self._plans.get(payment)
        return planned.popleft() if planned else Step(self._drawn(payment))

    def _drawn(self, payment: str) -> str:
        """The mood of this request. Not from one generator: what it draws would depend on who comes first."""
        if not self.settings.share:
            return "ok"
        what = f"{self.settings.seed}/{self._requests[payment]}/{payment}".encode("utf-8", "surrogatepass")
        point = int.from_bytes(hashlib.blake2b(what, digest_size=8).digest(), "big") / 2**64
        for mood, share in self.settings.share.items():
            point -= share
            if point < 0:
                return mood
        return "ok"

    def _counted(self, answer: Answer) -> Answer:
        self._replayed += answer.replayed
        self._answers[answer.harm or str(answer.status)] += 1
        return answer

    def _now_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000 + self._forward_ms


def _unknown(mood: object) -> str:
    return f"unknown mood {mood!r:.40}; known are {', '.join(sorted(MOODS))}"


def _harmed(answer: Answer, mood: str) -> Answer:
    return replace(answer, harm=mood) if mood in AFTER else answer


def _declined(mood: str) -> Answer:
    code, decline_code, advice_code = DECLINES[mood]
    message = "Your card was declined."
    return error_answer(402, "card_error", message, code=code, decline_code=decline_code, advice_code=advice_code)


def _charged(charge: Charge) -> Answer:
    paid = charge.status == "succeeded"
    shown = {
        "id": charge.id,
        "object": "charge",
        "amount": charge.amount,
        "currency": charge.currency,
        "customer": charge.customer,
        "payment_method": charge.payment_method,
        "status": charge.status,
        "paid": paid,
        "captured": paid,
        "metadata": {"payment": charge.payment},
    }
    return json_answer(200, shown)


def _idempotency_key(headers: Mapping[str, str]) -> str:
    key = headers.get("idempotency-key", "")
    if len(key) > LONGEST_KEY:
        raise RefusedError("An idempotency key may have 255 characters.")
    return key


def _payment(parameters: Mapping[str, Any], key: str) -> str:
    """Which payment this is: Stripe advises to send a name of one's own in the metadata, to find a charge again."""
    metadata = parameters.get("metadata")
    if isinstance(metadata, dict) and "payment" in metadata:
        return str(cast("dict[str, Any]", metadata)["payment"])
    return key.rpartition(":")[0] or key


def _charge_parameters(body: bytes) -> dict[str, Any]:
    parameters = json_object(body)
    for name in ("amount", "currency", "payment_method", "customer"):
        if name not in parameters:
            raise RefusedError("A required parameter is missing.", name, "parameter_missing")
    amount = parameters["amount"]
    if isinstance(amount, bool) or not isinstance(amount, int) or amount < 1:
        raise RefusedError("The amount is no positive integer.", "amount", "parameter_invalid_integer")
    for name in ("currency", "payment_method", "customer"):
        if not isinstance(parameters[name], str) or not parameters[name].strip():
            raise RefusedError("This parameter must be text.", name, "parameter_invalid_string_empty")
    if not re.fullmatch(r"[A-Za-z]{3}", parameters["currency"]):
        raise RefusedError("The currency is no three-letter code.", "currency")
    return parameters
