"""How payments and counts are shown: to people, with what is paid with masked; to programs, as JSON of a stated version."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from retryqueue.card_numbers import without_card_numbers
from retryqueue.cli.console import safe
from retryqueue.prometheus import workers_seen
from retryqueue.states import State

if TYPE_CHECKING:
    from retryqueue.payment import Payment
    from retryqueue.states import Item, Status

    _Json = dict[str, "_Json"] | list["_Json"] | str | float | bool | None

# Of the JSON that is printed. A field may be added without a new version; none is renamed, dropped or given another meaning.
VERSION = 1
MASKED = "(masked)"
LONGEST_RAW = 2_000
WIDEST_COLUMN = 48

_SINCE = {
    State.SCHEDULED: "due",
    State.LEASED: "lease ends",
    State.SUCCEEDED: "key lives until",
    State.DEAD: "dead since",
    State.RECONCILE: "in reconcile since",
    State.QUARANTINED: "quarantined since",
}
# The stored form of a payment: what is at these places of the list says what is paid with, and what for.
_SENSITIVE_PLACES = (3, 4)
_SENSITIVE_NAMES = {"payment_method_id", "payment_method", "card", "card_number", "details", "source", "token", "cvc"}
# The same in what is no JSON any more, or lies in the record of a worker: rather too much is masked than too little.
_DAMAGED_LIST = re.compile(r"(\[(?:[^,]*,){3}).*", re.DOTALL)
_DAMAGED_FIELD = re.compile(
    rf"""(["'](?:{"|".join(sorted(_SENSITIVE_NAMES))})["']\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|'[^']*'?|[\[{{].*|[^,}}\]]*)""",
    re.DOTALL | re.IGNORECASE,
)


def as_json(value: Any) -> str:
    """One line of JSON that names its version."""
    return json.dumps({"version": VERSION, **value}, ensure_ascii=True)


def item_fields(item: Item, *, show_payment: bool) -> dict[str, Any]:
    """All fields of a payment, for JSON. Times are in milliseconds since 1970, on the server's clock."""
    return {
        "key": item.key,
        "state": str(item.state),
        "since_ms": item.since_ms,
        "attempt": item.attempt,
        "limit": item.limit,
        "generation": item.generation,
        "opened": item.opened,
        "last_provider_key": last_provider_key(item),
        "next_provider_key": next_provider_key(item),
        "enqueued_at_ms": item.enqueued_at_ms or None,
        "deadline_ms": item.deadline_ms,
        "reference": item.note if item.state is State.SUCCEEDED else None,
        "note": "" if item.state is State.SUCCEEDED else item.note,
        "payment": None if item.payment is None else payment_fields(item.payment, show_payment=show_payment),
        "raw": None if item.raw is None else raw_text(item.raw, show_payment=show_payment),
        "raw_base64": base64.b64encode(item.raw).decode() if item.raw is not None and show_payment else None,
    }


def last_provider_key(item: Item) -> str | None:
    """The key that the last attempt was to send to the provider; none if no attempt has begun.

    A decline spends the generation, so that the one that is stored then was not sent yet, if it ever is.
    """
    sent = item.generation if item.opened else item.generation - 1
    return f"{item.key}:{sent}" if item.attempt and sent > 0 else None


def next_provider_key(item: Item) -> str | None:
    """The key that the next attempt will send; none where it is open which one, or whether there is a next attempt."""
    return f"{item.key}:{item.generation}" if item.state is State.SCHEDULED else None


def payment_fields(payment: Payment, *, show_payment: bool) -> dict[str, Any]:
    """What is charged; payment method and details only on demand."""
    return {
        "user_id": payment.user_id,
        "amount_minor": payment.amount_minor,
        "currency": payment.currency,
        "payment_method_id": payment.payment_method_id if show_payment else MASKED,
        "details": dict(payment.details) if show_payment or not payment.details else MASKED,
        "context": dict(payment.context),
    }


def item_lines(item: Item, *, show_payment: bool) -> list[str]:
    """All fields of a payment, for people."""
    fields: dict[str, object] = {
        "key": item.key,
        "state": item.state,
        _SINCE[item.state]: moment(item.since_ms),
    }
    if item.state is not State.QUARANTINED:
        fields |= {
            "attempt": f"{item.attempt} of {item.limit}",
            "last key sent": last_provider_key(item) or "none",
            **({"next key": following} if (following := next_provider_key(item)) else {}),
            "enqueued": moment(item.enqueued_at_ms),
            "deadline": moment(item.deadline_ms) if item.deadline_ms else "none",
        }
    if item.payment is not None:
        fields |= {name: _text(value) for name, value in payment_fields(item.payment, show_payment=show_payment).items()}
    if item.raw is not None:
        fields |= {"raw": f"{len(item.raw)} bytes: {raw_text(item.raw, show_payment=show_payment)}"}
    fields |= {"reference" if item.state is State.SUCCEEDED else "note": item.note or "none"}
    width = max(map(len, fields))
    return [f"{name:{width}}  {safe(str(value))}" for name, value in fields.items()]


def item_columns(item: Item) -> list[str]:
    """A payment on one line, by columns."""
    payment = item.payment
    charged = f"{payment.amount_minor} {payment.currency} of {payment.user_id}" if payment else ""
    parts = [item.key, f"{_SINCE[item.state]} {moment(item.since_ms)}", f"attempt {item.attempt} of {item.limit}", charged]
    if item.state is State.QUARANTINED:
        parts = parts[:2]
    return [safe(part) for part in [*parts, item.note]]


def aligned(rows: list[list[str]]) -> list[str]:
    """The rows as lines, each column as wide as its widest text, up to a bound. What is empty in each row has no column."""
    widths = [min(WIDEST_COLUMN, max(map(len, column))) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{part:{width}}" for part, width in zip(row, widths, strict=True) if width).rstrip() for row in rows]


def raw_text(raw: bytes, *, show_payment: bool) -> str:
    """Bytes that could not be read as a payment, in printable ASCII and of bounded length.

    Unless `show_payment`, card numbers are taken out of them, and what stands where a payment has its payment method and
    details, as far as the bytes are JSON or what is left of some.
    """
    text = raw.decode("utf-8", errors="backslashreplace")
    if not show_payment:
        text = without_card_numbers(_without_fields(text))
    shown = text.encode("unicode_escape").decode()
    return shown if len(shown) <= LONGEST_RAW else f"{shown[:LONGEST_RAW]}... (cut)"


def status_fields(status: Status, *, queue: str, shards: int) -> dict[str, Any]:
    """Counts, for JSON."""
    return {
        "queue": queue,
        "now_ms": status.now_ms,
        "paused": status.paused,
        "counts": {str(state): status.counts[state] for state in State},
        "lag_ms": status.lag_ms,
        "next_due_ms": status.next_due_ms,
        "next_lease_end_ms": status.next_lease_end_ms,
        "shards": shards,
        "workers": len(workers_seen(status)),
        "workers_seen_ms_ago": {name: status.now_ms - at for name, at in sorted(status.workers.items())},
    }


def moment(time_ms: int) -> str:
    """A time of the server's clock, in UTC."""
    if time_ms <= 0:
        return "unknown"
    try:
        return datetime.fromtimestamp(time_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"
    except (OverflowError, ValueError, OSError):  # A score that somebody else has written.
        return f"{time_ms} ms"


def duration(time_ms: float) -> str:
    """A length of time, in the unit that suits it."""
    for unit, size_ms in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if time_ms >= size_ms:
            return f"{time_ms / size_ms:.1f} {unit}"
    return f"{time_ms:.0f} ms"


def counted(count: int, noun: str) -> str:
    """`1 payment`, `2 payments`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _without_fields(text: str) -> str:
    """The text with its sensitive fields masked, if it is a JSON list or mapping, or was one before it was cut or damaged."""
    try:
        value: _Json = json.loads(text)
    except (ValueError, RecursionError):
        return _DAMAGED_LIST.sub(rf"\1{MASKED}", _DAMAGED_FIELD.sub(rf"\1{MASKED}", text))
    if not isinstance(value, list | dict):
        return text
    masked = _masked(value)
    if isinstance(masked, list):
        masked = [MASKED if place in _SENSITIVE_PLACES else part for place, part in enumerate(masked)]
    return json.dumps(masked, ensure_ascii=False)


def _masked(value: _Json) -> _Json:
    """The value without what its sensitive names stand for, however deep."""
    if isinstance(value, list):
        return [_masked(part) for part in value]
    if isinstance(value, dict):
        return {name: MASKED if name.lower() in _SENSITIVE_NAMES else _masked(part) for name, part in value.items()}
    return value
