"""What breaks the contract in what a load has shown, what is not known, and what people should know besides."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from interlock.core.counting import counted
from interlock.core.errors import UsageError
from interlock.prove.load.leaks import is_exhaustion
from interlock.prove.load.result import LoadResult, Moment, Openness, Spread
from interlock.prove.load.shapes import LATE, STEADY_SHARE
from interlock.prove.provider import times

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interlock.prove.load.accounts import Accounts, Collision, Settled, Till
    from interlock.prove.load.asks import Asks
    from interlock.prove.load.scene import Seen
    from interlock.prove.load.shapes import Shape

_MOMENTS = 60
_EXAMPLES = 3
_FAILURES_TOLD = 5


def judged(name: str, shape: Shape, asked: Asks, seen: Seen) -> LoadResult:
    """The result of a load.

    Raises:
        UsageError: If something that the contract itself says went wrong.
    """
    if isinstance(seen.failed, UsageError):
        raise UsageError(f"{name}: {seen.failed}") from seen.failed
    result = _figures(name, shape, seen)
    _add_payments(result, asked, seen)
    _add_success(result, seen)
    _add_leaks(result, shape, seen)
    result.violations += seen.broken
    _add_unknown(result, shape, seen)
    _add_notes(result, shape, seen)
    result.decide()
    return result


def _figures(name: str, shape: Shape, seen: Seen) -> LoadResult:
    accounts = seen.accounts
    result = LoadResult(name, shape.name, planned=shape.calls, calls=accounts.calls, success_min=shape.success_min)
    result.failures = accounts.failures.most_common(_FAILURES_TOLD)
    result.latency_ms, result.service_ms = Spread.of(accounts.latency_ms), Spread.of(accounts.took_ms)
    result.covered_s, result.over_s, result.made_in_s = seen.covered_s, shape.over_s, seen.made_in_s
    result.at_once = _at_once(accounts) if shape.is_real else seen.at_once
    if shape.is_real and accounts.calls:
        result.begun_within_ms = accounts.begun_within_s * 1000
    kinds = ("redis", "services", "files")
    result.connections, result.services, result.files = (
        Openness(getattr(seen.open.first, kind), seen.open.most(kind), getattr(seen.open.last, kind)) for kind in kinds
    )
    result.struck, result.restarts = sum(one.struck.total() for one in seen.rested), seen.restarts
    result.moments = moments(accounts.began_s, accounts.latency_ms)
    result.sources = frozenset(name for one in seen.rested for name in one.sources)
    return result


def _add_payments(result: LoadResult, asked: Asks, seen: Seen) -> None:
    """What became of the payments; if not all could be done, only what is certain to be wrong."""
    if (found := seen.settled) is None or asked.till is None:
        result.success = _returned(seen.accounts) if asked.till is None and seen.accounts.calls else None
        return
    result.violations += _told(found, asked.till)
    if not seen.is_settled:
        return
    result.payments = seen.accounts.payments
    result.collisions, result.duplicates, result.lost = len(found.collisions), len(found.duplicates), len(found.lost)
    result.set_aside, result.late_s = found.set_aside, Spread.of(found.late_s)
    if found.set_aside and not (asked.till.provider.charges or asked.till.provider.never_charges):
        result.reasons.append(f"nothing was charged, as all was set aside: {counted(found.set_aside, 'payment')}")
    result.reasons += [f"the provider has met no payment in the mood {mood!r}: too few were made" for mood in found.unmet]
    if seen.accounts.calls:
        result.success = _right(seen.accounts, found)


def _told(found: Settled, till: Till) -> list[str]:
    """What is wrong with payments, each with examples."""
    most = till.attempts
    cases = (
        ("collision", "", [_collided(one) for one in found.collisions]),
        (
            "payment",
            " charged more than once",
            [f"{payment} was charged {times(count)}" for payment, count in found.duplicates.items()],
        ),
        ("payment", " charged that nobody asked for", found.strange),
        ("payment", " charged, and set aside as dead all the same", found.charged_and_dead),
        (
            "payment",
            " given up too soon",
            [
                f"{one} after {counted(count, 'attempt')}, where {most} are promised"
                for one, count in found.given_up_after.items()
            ],
        ),
        (
            "payment",
            " tried too often",
            [
                f"{counted(count, 'attempt')} to charge {one}, where {most} are allowed"
                for one, count in found.asked_too_often.items()
            ],
        ),
    )
    lines = [_with_examples(f"{counted(len(each), noun)}{said}", each) for noun, said, each in cases if each]
    return [*lines, *_lost(found)]


def _lost(found: Settled) -> list[str]:
    if not found.lost:
        return []
    collided = {one.payment for one in found.collisions}
    examples = [f"{one} was accepted, and never charged nor set aside" for one in found.lost if one not in collided]
    by = f", {len(found.lost) - len(examples)} of them by collisions" if collided else ""
    return [_with_examples(f"{counted(len(found.lost), 'payment')} lost{by}", examples)]


def _collided(one: Collision) -> str:
    return f"{one.payment} came under {one.key} at {one.where}, as {one.other} did: it was taken for the same"


def _with_examples(head: str, examples: list[str]) -> str:
    return f"{head}: {'; '.join(examples[:_EXAMPLES])}" if examples else head


def _add_success(result: LoadResult, seen: Seen) -> None:
    for noun, errors in (("call", seen.accounts.failures), ("time", Counter(seen.work_errors))):
        who = "" if noun == "call" else "a worker ended: "
        exhausted = [(error, count) for error, count in errors.most_common() if is_exhaustion(error)]
        result.violations += [
            f"{who}{counted(count, noun)} found no connection left: {error}" for error, count in exhausted[:_EXAMPLES]
        ]
    if result.success is not None and result.success < result.success_min:
        said = f"success {result.success:.2%} of {counted(result.calls, 'call')}, where {result.success_min:.0%} are demanded"
        others = [f"{error} ({times(count)})" for error, count in result.failures if not is_exhaustion(error)]
        result.violations.append(_with_examples(said, others))


def _add_leaks(result: LoadResult, shape: Shape, seen: Seen) -> None:
    if seen.rested:
        told = seen.open.leaks(result.at_once + shape.workers, shape.processes + shape.workers)
        result.violations += told or (seen.calm.leaks(len(seen.rested)) if seen.calm is not None else [])


def _add_unknown(result: LoadResult, shape: Shape, seen: Seen) -> None:
    if result.calls < result.planned and not (shape.is_real and seen.unfinished):
        covered = f"{result.covered_s:,.1f} s of {result.over_s:,.0f} s were covered"
        needed = (
            f"; all of it needs about {_minutes_needed(result):,.0f} min here" if result.calls and not seen.is_given_up else ""
        )
        why = "the load was given up" if seen.is_given_up else "the budget is used up"
        result.reasons.append(f"{why}: {covered}, {result.calls:,} of {result.planned:,} calls{needed}")
    if seen.unfinished:
        result.reasons.append(seen.unfinished)
    result.reasons += _begun_late(result, shape, seen)
    for fault in shape.faults:
        if not (result.restarts if fault == "restart" else any(one.struck[fault] for one in seen.rested)):
            result.reasons.append(f"no {fault} has struck: the load was over too soon")
    if strangers := sorted({name for one in seen.rested for name in one.strangers}):
        result.reasons.append(f"a connection to {strangers[0]}, which the contract does not name, was refused")
    if passed_by := sorted({name for one in seen.rested for name in one.passed_by}):
        result.reasons.append(
            f"a connection to {passed_by[0]} was made past this guard, by a client in C: nobody knows what for"
        )
    if result.calls and not any(seen.accounts.returned):
        result.reasons.append(f"not one call came back without an error: {result.failures[0][0]}")
    result.reasons += [f"{never}" for never in seen.never]
    if result.calls and seen.rested and not any(one.has_asked for one in seen.rested[: shape.processes]):
        result.reasons.append(f"the calls did nothing: in {counted(result.calls, 'call')} nothing was sent to any server")
    if seen.failed is not None:
        result.reasons.append(f"what the contract puts behind an address fails: {type(seen.failed).__name__}: {seen.failed}")


def _minutes_needed(result: LoadResult) -> float:
    """What budget a load would have needed, at the pace at which it was made."""
    return max(1.0, result.made_in_s * result.planned / result.calls / STEADY_SHARE / 60)


def _begun_late(result: LoadResult, shape: Shape, seen: Seen) -> list[str]:
    """That the calls were not begun as asked, and whether that is for the machine or for what the calls do."""
    begun_ms, wanted_ms = result.begun_within_ms, shape.over_s * 1000
    if not wanted_ms or begun_ms is None or begun_ms <= LATE * wanted_ms:
        return []
    said = f"the calls were begun within {begun_ms:,.0f} ms, not {wanted_ms:g}"
    if result.at_once >= shape.at_once < shape.calls:
        return [
            f"{said}: all {shape.at_once:,} threads waited for the module; more of them (at_once) would show whether it stands"
        ]
    if seen.empty_ms is None:
        return [said]
    if seen.empty_ms > LATE * wanted_ms:
        return [f"{said}: this machine is too slow, and takes {seen.empty_ms:,.0f} for as many empty ones"]
    each_ms, cores = sum(one.cpu_s for one in seen.rested[: shape.processes]) / max(1, result.calls) * 1000, os.cpu_count() or 1
    empty = f"this machine begins as many empty ones within {seen.empty_ms:,.0f}; a call takes {each_ms:.2g} ms of a processor"
    if each_ms * result.calls > cores * wanted_ms:
        return [f"{said}: the module is too slow for this machine: {empty}, of which there are {cores}"]
    return [f"{said}: {empty}, so they wait for one another, or for what else this machine has to do"]


def _add_notes(result: LoadResult, shape: Shape, seen: Seen) -> None:
    result.notes += [
        f"a worker ended in {error} ({times(count)})" for error, count in list(seen.work_errors.items())[:_EXAMPLES]
    ]
    if not shape.is_real and 0 < seen.covered_s < seen.made_in_s:
        pace, asked = result.calls / seen.made_in_s, shape.calls / shape.over_s
        result.notes.append(
            f"{pace:,.0f} calls a second were made here: whether the module keeps up with {asked:g} is not shown"
        )
    if seen.rested and seen.calm is None and not shape.faults and not seen.unfinished:
        result.notes.append("no time was left to look for leaks call by call")


def _returned(accounts: Accounts) -> float:
    return 1 - accounts.failures.total() / accounts.calls


def _right(accounts: Accounts, found: Settled) -> float:
    """Which share of the calls came back, and for a payment that came out right."""
    wrong = {int(payment[1:]) for payment in found.wrong if payment[1:].isdigit()}
    return sum(count for payment, count in enumerate(accounts.returned) if payment not in wrong) / accounts.calls


def _at_once(accounts: Accounts) -> int:
    """How many calls were on their way at one time."""
    begun = [(at_s, 1) for at_s in accounts.began_s]
    over = [(at_s + took_ms / 1000, -1) for at_s, took_ms in zip(accounts.began_s, accounts.took_ms, strict=True)]
    most = now = 0
    for _, change in sorted(begun + over):
        now += change
        most = max(most, now)
    return most


def moments(began_s: Sequence[float], took_ms: Sequence[float]) -> list[Moment]:
    """The course of a load in stretches of the same length."""
    if not began_s:
        return []
    first, last = min(began_s), max(began_s)
    length_s = max((last - first) / _MOMENTS, 1e-3)
    stretches: dict[int, list[float]] = {}
    for at_s, ms in zip(began_s, took_ms, strict=True):
        stretches.setdefault(min(_MOMENTS - 1, int((at_s - first) / length_s)), []).append(ms)
    spreads = {number: Spread.of(values) for number, values in stretches.items()}
    return [
        Moment(first + number * length_s, len(stretches[number]) / length_s, spread.p50, spread.p99)
        for number, spread in sorted(spreads.items())
    ]
