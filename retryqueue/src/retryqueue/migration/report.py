"""What a migration has done, or would do: counts that add up, and what a person has to look at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from retryqueue.states import State

Outcome = Literal["scheduled", "reconcile", "quarantined", "already_there"]
# A first page of which more than this part cannot be read is no damage, but wrong options.
MOST_UNREADABLE = 0.5
MOST_REASONS = 5
OUTCOMES: tuple[Outcome, ...] = ("scheduled", "reconcile", "quarantined", "already_there")
# Of each list. Everything in `findings` lies in the queue as well, with its reason; the counts are always complete.
MOST_FINDINGS = 1_000
MOST_LINES = 20


class Kind(StrEnum):
    """Why a member is not simply scheduled."""

    UNREADABLE = "unreadable"
    OVERDUE = "overdue"
    ATTEMPTED = "attempted"
    TOO_LATE = "too_late"
    NO_DUE_TIME = "no_due_time"
    HELD = "held"
    DEAD_LETTER = "dead_letter"
    SAME_PAYMENT = "same_payment"
    CONFLICT = "conflict"
    EARLIER_RUN = "earlier_run"


# Stored with each payment in reconcile, for the person who opens it.
REASONS = {
    Kind.OVERDUE: "migrated: it was due while an old worker may have been running, which may have charged it",
    Kind.ATTEMPTED: "migrated: the old queue has tried it, and does not say whether the provider declined or never answered",
    Kind.TOO_LATE: "migrated: it is due later than longest_delay_ms allows, and is not charged early",
    Kind.NO_DUE_TIME: "migrated: its due time is infinite",
    Kind.HELD: "migrated: held back like all members, since the old queue was given payments that may have been charged",
    Kind.DEAD_LETTER: "migrated: a dead letter of the old queue, which does not say what the provider's last answer was",
    Kind.SAME_PAYMENT: "migrated: another member names the same payment: either the same purchase twice, or a second equal one",
    Kind.CONFLICT: "migrated: its name already stands for a payment with other contents; one of the two is a mistake",
    Kind.EARLIER_RUN: "migrated: an earlier, unfinished run may have stored it under another key, or it was charged since",
}
_UNREADABLE = "cannot be read as a payment; the bytes lie in quarantine"


@dataclass(frozen=True, slots=True)
class Finding:
    """A member that a person has to look at.

    Attributes:
        key: The payment's key, or the name of the bytes in quarantine.
        kind: What is the matter with it.
        reason: The same in a sentence.
        came_from: The sorted set or list that it was in.
        user_id: Who pays; empty if it does not say.
        same_as: The key of the payment that its name stands for, if that is another one.
    """

    key: str
    kind: Kind
    reason: str
    came_from: str
    user_id: str = ""
    same_as: str = ""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A user, or a value such as an order's id, for which the old queue has accepted more than there is.

    Attributes:
        subject: The user or the value.
        accepted: How many idempotency keys say that something was accepted.
        members: How many members and dead letters there were.
    """

    subject: str
    accepted: int
    members: int


@dataclass(frozen=True, slots=True)
class Look:
    """A first look at a sorted set or a list, before anything is moved.

    Attributes:
        source: Its name; empty if there is nothing in it.
        read: How many members were read; up to 100.
        unreadable: How many of them are no payments.
        reasons: What is wrong with them, and how often.
    """

    source: str
    read: int
    unreadable: int
    reasons: Counter[str]

    @property
    def is_bad(self) -> bool:
        """Whether so much cannot be read that the options are wrong rather than the members."""
        return self.unreadable > MOST_UNREADABLE * self.read

    def lines(self) -> list[str]:
        """What it has found, for people."""
        most = self.reasons.most_common(MOST_REASONS)
        return [
            f"{self.unreadable} of the first {_counted(self.read, 'member')} of {self.source} cannot be read as payments",
            *(f"  {_times(count)}: {reason}" for reason, count in most),
            *_more(len(self.reasons) - len(most)),
        ]


@dataclass(slots=True)
class Report:
    """What was done so far.

    Attributes:
        queue: The queue that payments went to.
        source: The sorted set that they came from.
        dead_letters: The list of dead letters that was read too; none if none was.
        dry_run: Whether nothing was changed.
        finished: Whether the migration came to its end.
        found: Whether there is, or once was, such a sorted set.
        read: How many members and dead letters were read.
        outcomes: How many of them ended where; these add up to `read`.
        kinds: How many a person has to look at, by kind.
        findings: The first `MOST_FINDINGS` of these.
        taken: Members that somebody else removed after they were stored: an old worker is still running, or the connection
            broke at that moment. The first `MOST_FINDINGS` keys.
        taken_count: How many there were.
        left: How many members and dead letters the old queue holds now.
        waiting: How many payments the queue holds in reconcile and in quarantine now, from wherever; empty in a dry run.
        accepted_keys: How many idempotency keys of the old queue were counted; none if none were looked for.
        unattributed_keys: How many of them do not say whom or what they stand for.
        suspects: What may be lost.
        again: Whether quarantine was read again, and not the sorted set and the list.
        forgotten: How many of their members stay in quarantine because it is not known any more when they are due.
    """

    queue: str
    source: str
    dead_letters: str | None = None
    dry_run: bool = True
    finished: bool = False
    found: bool = True
    read: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter[Outcome])
    kinds: Counter[Kind] = field(default_factory=Counter[Kind])
    findings: list[Finding] = field(default_factory=list[Finding])
    taken: list[str] = field(default_factory=list[str])
    taken_count: int = 0
    left: int = 0
    waiting: dict[State, int] = field(default_factory=dict[Any, int])
    accepted_keys: int | None = None
    unattributed_keys: int = 0
    suspects: list[Suspect] = field(default_factory=list[Suspect])
    again: bool = False
    forgotten: int = 0

    @property
    def needs_a_person(self) -> bool:
        """Whether there is anything to look at."""
        waiting = self.outcomes["reconcile"] or self.outcomes["quarantined"] or sum(self.waiting.values())
        left = self.left and not self.dry_run
        return bool(
            waiting or left or self.forgotten or self.taken_count or self.suspects or self.unattributed_keys or not self.found
        )

    def count(self, outcome: Outcome, finding: Finding | None) -> None:
        """Counts one member."""
        self.read += 1
        self.outcomes[outcome] += 1
        if finding is None or outcome == "already_there":
            return
        self.kinds[finding.kind] += 1
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(finding)

    def count_taken(self, key: str) -> None:
        """Counts a member that somebody else removed."""
        self.taken_count += 1
        if len(self.taken) < MOST_FINDINGS:
            self.taken.append(key)

    def fields(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return {
            "queue": self.queue,
            "source": self.source,
            "dead_letters": self.dead_letters,
            "dry_run": self.dry_run,
            "again": self.again,
            "finished": self.finished,
            "source_found": self.found,
            "counts": {"read": self.read, **{outcome: self.outcomes[outcome] for outcome in OUTCOMES}, "left": self.left},
            "waiting": {str(state): count for state, count in self.waiting.items()},
            "needs_a_person": self.needs_a_person,
            "kinds": {str(kind): count for kind, count in sorted(self.kinds.items())},
            "findings": [_without_empty(finding) for finding in self.findings],
            "taken_by_others": {"count": self.taken_count, "keys": self.taken},
            "forgotten": self.forgotten,
            "accepted": self._accepted_fields(),
        }

    def lines(self) -> list[str]:
        """Everything that matters, for people."""
        return [
            self._headline(),
            *(f"{name:19} {count:>12,}" for name, count in self._counts().items()),
            *self._missing_lines(),
            *self._again_lines(),
            *self._finding_lines(),
            *self._taken_lines(),
            *self._suspect_lines(),
        ]

    def _headline(self) -> str:
        what = "what lies in quarantine " if self.again else ""
        done = f"{what}would be migrated (dry run, nothing was changed)" if self.dry_run else f"{what}migrated"
        stopped = "" if self.finished else "; NOT FINISHED, run it again with the same options"
        return f"{self.source} -> queue {self.queue}: {done}{stopped}"

    def _counts(self) -> dict[str, int]:
        counts = {"read": self.read, **{outcome.replace("_", " "): self.outcomes[outcome] for outcome in OUTCOMES}}
        if self.dry_run:
            return counts
        return {**counts, "left": self.left, **{f"now {state.predicate}": count for state, count in self.waiting.items()}}

    def _missing_lines(self) -> list[str]:
        if self.found:
            return []
        return [f"there is no sorted set {self.source}, and none of this name was migrated before: is the name right?"]

    def _again_lines(self) -> list[str]:
        """How to go on with what is in quarantine."""
        lines: list[str] = []
        if self.kinds[Kind.UNREADABLE] and not self.dry_run:
            lines.append("what cannot be read lies in quarantine; --again reads it from there, with other options")
        if self.forgotten:
            stay = "stays in quarantine: it is not known any more when it is due"
            many = "stay in quarantine: it is not known any more when they are due"
            lines.append(f"{self.forgotten:,} {stay if self.forgotten == 1 else many}; enqueue by hand")
        return lines

    def _finding_lines(self) -> list[str]:
        lines: list[str] = []
        for kind, count in sorted(self.kinds.items()):
            lines.append(f"{count:,} {kind}: {REASONS.get(kind, _UNREADABLE)}")
            shown = [finding for finding in self.findings if finding.kind is kind][:MOST_LINES]
            lines += [f"  {_finding_line(finding)}" for finding in shown]
            lines += _more(count - len(shown))
        return lines

    def _taken_lines(self) -> list[str]:
        if not self.taken_count:
            return []
        one = self.taken_count == 1
        head = (
            f"{self.taken_count:,} {'was' if one else 'were'} removed by somebody else after being stored: an old worker is "
            f"still running and may have charged {'it' if one else 'them'} (or the connection broke at that moment); ask the "
            "provider"
        )
        shown = self.taken[:MOST_LINES]
        return [head, *(f"  {key}" for key in shown), *_more(self.taken_count - len(shown))]

    def _suspect_lines(self) -> list[str]:
        if self.accepted_keys is None:
            return []
        lines = [f"{_counted(self.accepted_keys, 'idempotency key')} of the old queue counted"]
        if self.unattributed_keys:
            say = "does not say for whom it was" if self.unattributed_keys == 1 else "do not say for whom they were"
            lines.append(f"{self.unattributed_keys:,} of them {say} accepted")
        if self.suspects:
            lines.append(
                f"suspected lost, {len(self.suspects):,}: accepted more often than there are members; either worked off and "
                "removed by an old worker, or swallowed by a member of the same bytes; ask the provider"
            )
        shown = self.suspects[:MOST_LINES]
        lines += [f"  {item.subject}: accepted {_times(item.accepted)}, {_counted(item.members, 'member')}" for item in shown]
        return lines + _more(len(self.suspects) - len(shown))

    def _accepted_fields(self) -> dict[str, Any] | None:
        if self.accepted_keys is None:
            return None
        suspects = [{"subject": item.subject, "accepted": item.accepted, "members": item.members} for item in self.suspects]
        return {"keys": self.accepted_keys, "unattributed": self.unattributed_keys, "suspected_lost": suspects}


def _finding_line(finding: Finding) -> str:
    parts = [finding.key, f"of {finding.user_id}" if finding.user_id else ""]
    parts += [f"same as {finding.same_as}" if finding.same_as else ""]
    parts += [finding.reason if finding.kind is Kind.UNREADABLE else ""]
    return "  ".join(part for part in parts if part)


def _without_empty(finding: Finding) -> dict[str, str]:
    named = {name: str(getattr(finding, name)) for name in Finding.__slots__}
    return {name: value for name, value in named.items() if value}


def _more(count: int) -> list[str]:
    return [f"  and {count:,} more"] if count > 0 else []


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
