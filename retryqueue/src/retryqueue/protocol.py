"""What is said to the server, and what its answers mean: no socket, no clock, no loop.

Each function makes one `Call`: one script on one shard, and how to read the reply. Who sends it, blocking or not, is the
business of `server`. A call may be sent twice, because a lost reply looks like a lost request: the scripts take care that
the second time changes nothing, and answers what the first one did.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar, cast

from retryqueue.card_numbers import safe_reason
from retryqueue.errors import InvalidPayment
from retryqueue.payment import Payment
from retryqueue.states import Claim, Item, Lease, Receipt, State, Status, token_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from retryqueue.policy import Policy
    from retryqueue.shards import Shard
    from retryqueue.states import Answer

T = TypeVar("T")

# What one script may touch. A longer one would hold up everybody else: the server runs one at a time.
MOST_PER_CALL = 100

Settled = Literal["ok", "again", "lost"]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One script to run.

    Attributes:
        script: The name of the transition, as in `lua/`.
        keys: The server's keys that it touches.
        args: Its arguments.
        read: What the reply means.
    """

    script: str
    keys: list[str]
    args: Sequence[str | bytes | int]
    read: Callable[[Any], T]


class Entry(NamedTuple):
    """A payment to enqueue, due after `delay_ms`; its last attempt begins at most `deadline_ms` from now (none: whenever)."""

    payment: Payment
    delay_ms: int = 0
    deadline_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a worker tells of one lease.

    Attributes:
        lease: The attempt it speaks of.
        transition: The script that carries it out.
        facts: That script's arguments beside key and token.
    """

    lease: Lease
    transition: Literal["succeed", "reschedule", "bury", "release"]
    facts: tuple[str | int, ...] = ()


def enqueue(shard: Shard, policy: Policy, entries: Sequence[Entry]) -> Call[list[Receipt]]:
    """Stores new payments, and tells of each whether it is one."""
    args: list[str | bytes | int] = [os.urandom(7), policy.attempts, _times(entries)]
    keys = [payment.key for payment, _, _ in entries]
    for payment, _, _ in entries:
        args += (payment.key, _end_of_record(payment))
    return Call("enqueue", shard.keys, args, lambda reply: _receipts(keys, reply))


def _times(entries: Sequence[Entry]) -> str:
    """Delay and deadline of each; nothing if there is none."""
    if any(delay_ms or deadline_ms for _, delay_ms, deadline_ms in entries):
        return " ".join(f"{delay_ms} {deadline_ms or 0}" for _, delay_ms, deadline_ms in entries)
    return ""


def _end_of_record(payment: Payment) -> bytes:
    """The last three fields of a new record, as msgpack has them: fingerprint, stored form and an empty note."""
    stored = payment.to_json()
    size = len(stored)
    return b"\xb0%b\xda%c%c%b\xa0" % (payment.fingerprint, size >> 8, size & 255, stored)


def hold(shard: Shard, payments: Sequence[Payment], reason: str) -> Call[list[Receipt]]:
    """Stores payments for a person to decide about, uncharged."""
    args: list[str | bytes | int] = [os.urandom(8), safe_reason(reason)]
    for payment in payments:
        args += [payment.key, payment.fingerprint, payment.to_json()]
    keys = [payment.key for payment in payments]
    return Call("hold", shard.keys, args, lambda reply: _receipts(keys, reply))


def refuse(shard: Shard, unreadable: Iterable[tuple[str, bytes, str]]) -> Call[int]:
    """Puts foreign bytes (name, bytes, reason) into quarantine; tells how many were new."""
    args = [part for name, raw, reason in unreadable for part in (name, raw, safe_reason(reason))]
    return Call("refuse", shard.keys, [os.urandom(8), *args], int)


def claim(shard: Shard, policy: Policy, worker: str, number: str, most: int) -> Call[Claim]:
    """Leases what is due to a worker. The same number again is answered with the same payments."""
    args: list[str | bytes | int] = [worker, number, min(most, MOST_PER_CALL), policy.lease_ms, policy.provider_window_ms]
    return Call("claim", [*shard.keys, shard.key(f"claim:{worker}")], args, _claim)


def settle(shard: Shard, policy: Policy, transition: str, verdicts: Sequence[Verdict]) -> Call[list[Settled]]:
    """Carries out one kind of verdict. Each is answered `ok`, `again` (told before) or `lost` (another worker holds it)."""
    args: list[str | bytes | int] = [policy.key_lives_ms, policy.paid_horizon_ms] if transition == "succeed" else []
    for verdict in verdicts:
        args += [verdict.lease.key, verdict.lease.token, *verdict.facts]
    return Call(transition, shard.keys, args, _texts)


def quarantine(shard: Shard, unreadable: Sequence[tuple[str, str, str]]) -> Call[list[Settled]]:
    """Sets payments aside (key, token, reason) that their holder cannot read."""
    args: list[str | bytes | int] = []
    for key, token, reason in unreadable:
        args += [key.encode(errors="surrogateescape"), token, safe_reason(reason)]
    return Call("quarantine", shard.keys, args, _texts)


def extend(shard: Shard, policy: Policy, leases: Sequence[Lease]) -> Call[list[Settled]]:
    """Lengthens leases to a full one from now; answers `ok` or `lost` for each."""
    args: list[str | bytes | int] = [policy.lease_ms]
    for lease in leases:
        args += [lease.key, lease.token]
    return Call("extend", shard.keys, args, _texts)


def requeue(shard: Shard, policy: Policy, key: str) -> Call[tuple[bool, str]]:
    """Schedules a dead payment once more; tells whether that was possible, and its state."""
    return Call("requeue", shard.keys, [os.urandom(8), policy.attempts, key], _decision)


def resolve(shard: Shard, policy: Policy, key: str, paid_as: str | None) -> Call[tuple[bool, str]]:
    """Settles a payment in reconcile: paid under this reference, or (none) not charged and to be tried again."""
    args: list[str | bytes | int] = [os.urandom(8), policy.attempts, policy.key_lives_ms, policy.paid_horizon_ms, key]
    return Call("resolve", shard.keys, args if paid_as is None else [*args, paid_as], _decision)


def purge(shard: Shard, keys: Sequence[str]) -> Call[list[str]]:
    """Forgets dead or quarantined payments; answers the state of each that is gone, `refused`, or nothing."""
    return Call("purge", shard.keys, list(keys), _texts)


def inspect(shard: Shard, key: str) -> Call[Item | None]:
    """Reads one payment."""
    return Call("inspect", shard.keys, [key], lambda reply: _item(*reply[0]) if reply[0] else None)


def page(shard: Shard, state: State, cursor: str) -> Call[tuple[str, list[Item]]]:
    """Reads some payments in one state, and where to go on; `0` is the start and the end."""
    return Call(
        "page", shard.keys, [state, cursor], lambda reply: (reply[0].decode(), [_item(*item) for item in reply[1] if item])
    )


def pause(shard: Shard, *, paused: bool) -> Call[bytes]:
    """Gives workers nothing more from this shard, or something again."""
    return Call("pause", shard.keys, [int(paused)], bytes)


def status(shard: Shard) -> Call[Status]:
    """Counts a shard."""
    return Call("status", shard.keys, [], _status)


_STATES = {state.encode(): state for state in State}
_SCHEDULED = State.SCHEDULED


def _receipts(keys: Sequence[str], reply: Sequence[Sequence[Any]]) -> list[Receipt]:
    if not any(reply):
        return [Receipt(key, "new", _SCHEDULED, 0, "") for key in keys]
    return [
        _receipt(key, *answer) if answer else Receipt(key, "new", _SCHEDULED, 0, "")
        for key, answer in zip(keys, reply, strict=True)
    ]


def _receipt(key: str, answer: bytes, state: bytes, attempt: int, note: bytes) -> Receipt:
    where, word = _STATES[state], cast("Answer", answer.decode())
    reference = note.decode() if where is State.SUCCEEDED else ""
    return Receipt(key, word, where, attempt, reference)


def _claim(reply: tuple[int, int, list[tuple[bytes, int, int, bytes, int, int, int, int]]]) -> Claim:
    now_us, event, taken = reply
    leases: list[Lease] = []
    unreadable: list[tuple[str, str, str]] = []
    for raw_key, attempt, generation, stored, enqueued_at_ms, opened, limit, deadline_ms in taken:
        key = raw_key.decode(errors="surrogateescape")
        try:
            leases.append(
                Lease(
                    Payment.from_json(key, stored),
                    attempt,
                    generation,
                    enqueued_at_ms,
                    attempt == opened,
                    limit,
                    deadline_ms or None,
                )
            )
        except InvalidPayment as error:
            unreadable.append((key, token_of(attempt, enqueued_at_ms), str(error)))
    return Claim(now_us / 1000, tuple(leases), tuple(unreadable), max(0.0, event - now_us / 1000) if event >= 0 else None)


def _item(name: bytes, *fields: Any) -> Item:
    key = name.decode(errors="replace")
    state, since, attempt, limit, generation, opened, enqueued_at_ms, deadline_ms, stored, note = fields
    where = _STATES[state]
    payment = None if where is State.QUARANTINED else _readable(key, stored)
    return Item(
        key=key,
        state=where,
        since_ms=int(float(since)),
        attempt=attempt,
        limit=limit,
        generation=generation,
        enqueued_at_ms=enqueued_at_ms,
        deadline_ms=deadline_ms or None,
        payment=payment,
        raw=None if payment or where is State.SUCCEEDED else stored,
        note=note.decode(errors="replace"),
        opened=opened,
    )


def _readable(key: str, stored: bytes) -> Payment | None:
    try:
        return Payment.from_json(key, stored)
    except InvalidPayment:
        return None


def _status(reply: Sequence[Any]) -> Status:
    now, paused, counts, due, ends, workers = reply
    seen = {name.decode(): int(float(at)) for name, at in _pairs(workers)}
    due, ends = (int(float(time)) for time in (due, ends))
    return Status(
        now,
        bool(paused),
        dict(zip(_COUNTED, counts, strict=True)),
        due if due >= 0 else None,
        ends if ends >= 0 else None,
        seen,
    )


# In the order of `lua/status.lua`.
_COUNTED = (State.SCHEDULED, State.LEASED, State.SUCCEEDED, State.DEAD, State.RECONCILE, State.QUARANTINED)


def _pairs(flat: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _decision(reply: Sequence[bytes]) -> tuple[bool, str]:
    return reply[0] == b"ok", reply[1].decode()


def _texts(reply: Sequence[bytes]) -> list[Any]:
    return [answer.decode() for answer in reply]
