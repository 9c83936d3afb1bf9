"""What breaks the contract in what a load has shown, what is not known, and what people should know besides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.core.counting import counted
from interlock.core.errors import UsageError
from interlock.prove.load.leaks import is_exhaustion
from interlock.prove.load.result import LoadResult, Moment, Openness, Spread
from interlock.prove.provider import times

if TYPE_CHECKING:
    from interlock.prove.load.accounts import Accounts, Collision, Settled
    from interlock.prove.load.asks import Asks
    from interlock.prove.load.drive import Seen
    from interlock.prove.load.shapes import Shape

_MOMENTS = 60
_EXAMPLES = 3
_FAILURES_TOLD = 5
_LATE = 1.1  # A load that took so much longer than asked is another load.


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
    result.decide()
    return result


def _figures(name: str, shape: Shape, seen: Seen) -> LoadResult:
    accounts = seen.accounts
    result = LoadResult(name, shape.name, planned=shape.calls, calls=accounts.calls, success_min=shape.success_min)
    result.failures = accounts.failures.most_common(_FAILURES_TOLD)
    result.latency_ms = Spread.of(list(accounts.took_ms))
    result.covered_s, result.over_s = seen.covered_s, shape.over_s
    result.at_once = _at_once(accounts) if shape.is_real else seen.at_once
    if shape.is_real and accounts.calls:
        result.begun_within_ms = (max(accounts.began_s) - min(accounts.began_s)) * 1000
    kinds = ("redis", "services", "files")
    result.connections, result.services, result.files = (
        Openness(getattr(seen.open.first, kind), seen.open.most(kind), getattr(seen.open.last, kind)) for kind in kinds
    )
    result.struck, result.restarts = sum(one.struck for one in seen.rested), seen.restarts
    result.moments = moments(list(accounts.began_s), list(accounts.took_ms))
    result.notes += [
        f"a worker ended in {error} ({times(count)})" for error, count in list(seen.work_errors.items())[:_EXAMPLES]
    ]
    return result


def _add_payments(result: LoadResult, asked: Asks, seen: Seen) -> None:
    """What became of the payments, if all of them could."""
    if (found := seen.settled) is None or asked.till is None:
        result.success = _returned(seen.accounts) if asked.till is None and seen.accounts.calls else None
        return
    result.payments = len(set(seen.accounts.accepted) | set(seen.accounts.failed_at))
    result.collisions, result.duplicates, result.lost = len(found.collisions), len(found.duplicates), len(found.lost)
    result.set_aside, result.late_s = found.set_aside, Spread.of(found.late_s)
    result.violations += _told(found)
    if found.set_aside and not (asked.till.provider.charges or asked.till.provider.never_charges):
        result.reasons.append(f"nothing was charged, as all was set aside: {counted(found.set_aside, 'payment')}")
    if seen.accounts.calls:
        result.success = _right(seen.accounts, found)


def _told(found: Settled) -> list[str]:
    """What is wrong with payments, each with examples."""
    lines: list[str] = []
    if found.collisions:
        lines.append(_with_examples(counted(len(found.collisions), "collision"), [_collided(one) for one in found.collisions]))
    if found.duplicates:
        examples = [f"{payment} was charged {times(count)}" for payment, count in found.duplicates.items()]
        lines.append(_with_examples(f"{counted(len(found.duplicates), 'payment')} charged more than once", examples))
    if found.lost:
        collided = {one.payment for one in found.collisions}
        examples = [f"{one} was accepted, and never charged nor set aside" for one in found.lost if one not in collided]
        by = f", {len(found.lost) - len(examples)} of them by collisions" if collided else ""
        lines.append(_with_examples(f"{counted(len(found.lost), 'payment')} lost{by}", examples))
    return lines


def _collided(one: Collision) -> str:
    return f"{one.payment} came under {one.key} at {one.where}, as {one.other} did: it was taken for the same"


def _with_examples(head: str, examples: list[str]) -> str:
    return f"{head}: {'; '.join(examples[:_EXAMPLES])}" if examples else head


def _add_success(result: LoadResult, seen: Seen) -> None:
    exhausted = [(error, count) for error, count in seen.accounts.failures.most_common() if is_exhaustion(error)]
    for error, count in exhausted[:_EXAMPLES]:
        result.violations.append(f"{counted(count, 'call')} found no connection left: {error}")
    if result.success is not None and result.success < result.success_min:
        said = f"success {result.success:.2%} of {counted(result.calls, 'call')}, where {result.success_min:.0%} are demanded"
        others = [f"{error} ({times(count)})" for error, count in result.failures if not is_exhaustion(error)]
        result.violations.append(_with_examples(said, others))


def _add_leaks(result: LoadResult, shape: Shape, seen: Seen) -> None:
    if seen.rested:
        result.violations += seen.open.leaks(result.at_once + shape.workers, shape.processes + shape.workers)


def _add_unknown(result: LoadResult, shape: Shape, seen: Seen) -> None:
    if seen.unfinished:
        result.reasons.append(seen.unfinished)
    if result.calls < result.planned and not seen.unfinished:
        result.reasons.append(
            f"the budget is used up: {result.covered_s:,.1f} s of {result.over_s:,.0f} s were covered,"
            f" {result.calls:,} of {counted(result.planned, 'call')}"
        )
    begun_ms = result.begun_within_ms
    if shape.over_s and begun_ms is not None and begun_ms > _LATE * shape.over_s * 1000:
        result.reasons.append(
            f"the calls were begun within {begun_ms:,.0f} ms: this machine cannot make the load that was asked for"
        )
    for fault in shape.faults:
        if not (result.restarts if fault == "restart" else result.struck):
            result.reasons.append(f"no {fault} has struck: the load was over too soon")
    if strangers := sorted({name for one in seen.rested for name in one.strangers}):
        result.reasons.append(f"a connection to {strangers[0]}, which the contract does not name, was refused")
    if result.calls and seen.rested and not any(one.has_asked for one in seen.rested[: shape.processes]):
        result.reasons.append(f"the calls did nothing: in {counted(result.calls, 'call')} nothing was sent to any server")
    if seen.failed is not None:
        result.reasons.append(f"what the contract puts behind an address fails: {type(seen.failed).__name__}: {seen.failed}")


def _returned(accounts: Accounts) -> float:
    return 1 - accounts.failures.total() / accounts.calls


def _right(accounts: Accounts, found: Settled) -> float:
    """Which share of the calls came back, and for a payment that came out right."""
    wrong = {int(payment[1:]) for payment in found.wrong if payment[1:].isdigit()}
    return sum(count for payment, count in accounts.returned.items() if payment not in wrong) / accounts.calls


def _at_once(accounts: Accounts) -> int:
    """How many calls were on their way at one time."""
    begun = [(at_s, 1) for at_s in accounts.began_s]
    over = [(at_s + took_ms / 1000, -1) for at_s, took_ms in zip(accounts.began_s, accounts.took_ms, strict=True)]
    most = now = 0
    for _, change in sorted(begun + over):
        now += change
        most = max(most, now)
    return most


def moments(began_s: list[float], took_ms: list[float]) -> list[Moment]:
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
