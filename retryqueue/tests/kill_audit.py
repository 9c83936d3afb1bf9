"""The audit of the kill test: the provider's ledger against what the queue says of every payment.

    succeeded   charged once, and the reference is that charge's
    dead        not charged, and the reason is what the provider answered: it is asked again under the spent key
    reconcile   charged once or not at all, and the reason is what the journal of the workers tells of its last attempt

Whatever else is found is a finding: `doubled`, `lost` (gone, or said to be paid without a charge), `unfinished`, `untrue`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from retryqueue import Declined, Lease, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from worker_process import Journal

    from retryqueue import Item, Outcome, Payment

LAST_ATTEMPT = re.compile(r"attempt (\d+) of (\d+)(?:: (.*)| ended without an answer: its worker vanished)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is looked at.

    Attributes:
        inspect: What the queue says of a payment.
        charges: The provider's ledger.
        ask: Asks the provider again, under the key of a lease.
        journal: What the workers wrote.
        killed: The process numbers of the workers that were killed.
    """

    inspect: Callable[[str], Item | None]
    charges: Sequence[Mapping[str, Any]]
    ask: Callable[[Lease], Outcome]
    journal: Journal
    killed: frozenset[int]


@dataclass(slots=True)
class Audit:
    """What was found.

    Attributes:
        states: How many payments are in which state.
        reasons: How many payments are dead or in reconcile for which kind of reason.
        charged_in_reconcile: How many of those in reconcile were charged.
        findings: By kind, a sentence for each payment that is not as it must be.
    """

    states: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    charged_in_reconcile: int = 0
    findings: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def count(self, kind: str) -> int:
        """How many findings of a kind there are."""
        return len(self.findings.get(kind, []))

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def audit(payments: Sequence[Payment], evidence: Evidence) -> Audit:
    """Looks at every payment, and for charges of payments that there are none of."""
    audited = Audit()
    charges: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for charge in evidence.charges:
        charges[charge["payment"]].append(charge)
    for payment in payments:
        _look(audited, payment, charges.pop(payment.key, []), evidence)
    audited.findings["doubled"] += [f"{stranger}: charged, and never enqueued" for stranger in charges]
    audited.findings = defaultdict(list, {kind: found for kind, found in audited.findings.items() if found})
    return audited


def _look(audited: Audit, payment: Payment, charges: Sequence[Mapping[str, Any]], evidence: Evidence) -> None:
    item = evidence.inspect(payment.key)
    audited.states[item.state if item else "gone"] += 1
    if len(charges) > 1:
        audited.findings["doubled"].append(
            f"{payment.key}: charged {len(charges)} times: {[charge['key'] for charge in charges]}"
        )
    if charges and charges[0]["amount"] != payment.amount_minor:
        audited.findings["untrue"].append(f"{payment.key}: charged {charges[0]['amount']} and not {payment.amount_minor}")
    if item is None:
        audited.findings["lost"].append(f"{payment.key}: the queue knows nothing of it; charged {len(charges)} times")
        return
    match item.state:
        case State.SUCCEEDED:
            _look_at_success(audited, item, charges)
        case State.DEAD:
            _look_at_dead(audited, item, payment, charges, evidence)
        case State.RECONCILE:
            _look_at_reconcile(audited, item, charges, evidence)
        case State.QUARANTINED:
            audited.findings["untrue"].append(f"{item.key}: in quarantine, though it can be read: {item.note}")
        case _:
            audited.findings["unfinished"].append(f"{item.key}: still {item.state}: {item}")


def _look_at_success(audited: Audit, item: Item, charges: Sequence[Mapping[str, Any]]) -> None:
    if not charges:
        audited.findings["lost"].append(f"{item.key}: said to be paid as {item.note}, and never charged")
    elif item.note != charges[0]["id"]:
        audited.findings["untrue"].append(f"{item.key}: said to be paid as {item.note}, and charged as {charges[0]['id']}")


def _look_at_dead(
    audited: Audit, item: Item, payment: Payment, charges: Sequence[Mapping[str, Any]], evidence: Evidence
) -> None:
    if charges:
        audited.findings["untrue"].append(f"{item.key}: dead ({item.note}), and charged as {charges[0]['id']}")
        return
    last = LAST_ATTEMPT.fullmatch(item.note)
    reason = last[3] if last else item.note
    told = evidence.ask(Lease(payment, item.attempt, item.generation - 1, item.enqueued_at_ms))
    if not isinstance(told, Declined) or told.reason != reason or told.final != (last is None):
        audited.findings["untrue"].append(f"{item.key}: dead for {item.note!r}, and the provider says {told}")
    audited.reasons[f"dead: {reason}"] += 1


def _look_at_reconcile(audited: Audit, item: Item, charges: Sequence[Mapping[str, Any]], evidence: Evidence) -> None:
    audited.charged_in_reconcile += len(charges) == 1
    last = LAST_ATTEMPT.fullmatch(item.note)
    if not last or int(last[1]) != item.attempt or item.attempt < item.limit:
        audited.findings["untrue"].append(f"{item.key}: in reconcile after attempt {item.attempt} for {item.note!r}")
        return
    if last[3] is None:
        is_true = _has_vanished(item, evidence)
    else:
        is_true = last[3] in {reason for _, reason in evidence.journal.ended.get((item.key, item.attempt), [])}
    if not is_true:
        attempt = evidence.journal.ended.get((item.key, item.attempt))
        audited.findings["untrue"].append(f"{item.key}: in reconcile for {item.note!r}, and the journal says {attempt}")
    audited.reasons[f"reconcile: {last[3] or 'its worker vanished'}"] += 1


def _has_vanished(item: Item, evidence: Evidence) -> bool:
    """Whether nobody could say how the last attempt went: its worker was killed before it could, or its lease had run out."""
    attempt = (item.key, item.attempt)
    survived = [pid for pid, _ in evidence.journal.ended.get(attempt, []) if pid not in evidence.killed]
    return not survived or attempt in evidence.journal.late
