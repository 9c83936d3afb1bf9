"""Empties another queue's sorted set into this one, so that nothing is lost and nothing is charged twice.

Each member ends in one place: scheduled, in reconcile for a person, or in quarantine with its bytes. It is removed from the
old set only after it is stored, and before either is done its key is written down (`ledger`). So the migration may
be killed at any moment and run again.

What nobody can know is left to people. A member that was due while an old worker ran may have been charged by it; two members
that name the same payment may be one purchase or two; a member that was swallowed by another of the same bytes is only seen
by the idempotency key that it left behind.

What could not be read may be read again with other options, from quarantine (`Plan.again`). There too it is stored first, and
leaves quarantine afterwards.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from retryqueue.conversation import Patience, Send, patient
from retryqueue.errors import InvalidPayment
from retryqueue.migration.again import SetAside
from retryqueue.migration.foreign_payment import Reading, json_object
from retryqueue.migration.foreign_queue import ForeignQueue, Found
from retryqueue.migration.ledger import MEMORY_S, Claim, Claimed, Ledger, unreadable_key
from retryqueue.migration.report import REASONS, Finding, Kind, Look, Report, Suspect
from retryqueue.operations import Operations
from retryqueue.policy import Policy
from retryqueue.protocol import Entry
from retryqueue.server import Server
from retryqueue.states import Page, Receipt, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from retryqueue.address import BlockingClient
    from retryqueue.conversation import Durability, Talk
    from retryqueue.migration.report import Outcome
    from retryqueue.payment import Payment
    from retryqueue.states import Item

# The clocks of two machines, and a charge that a stopping worker still finished.
CLOCKS_DIFFER_MS = 5_000
_CONNECTIONS = 2

Doubtful = Literal["reconcile", "schedule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to migrate, and what to do with members that may have been charged.

    Attributes:
        source: The sorted set; its members are JSON objects, its scores are due times in seconds since 1970.
        reading: How a member is read.
        dead_letters: A list of dead letters to migrate as well, to reconcile; the oldest is the last.
        overdue: Where a member goes that was due when the old workers stopped, or before.
        attempted: Where one goes whose retry count says that it was tried.
        hold_all: Whether everything goes to reconcile.
        stopped_at_ms: When the last old worker stopped, in ms since 1970; by default when the migration begins.
        accepted: The pattern of the old queue's idempotency keys, such as `payments:retry:idempotency:*`.
        accepted_value: The member's field that the values of these keys hold, such as `order_id`; by default they hold
            nothing, and it is their name that says whose they are: `USER:TIME` or `USER:TIME:RANDOM`.
        again: Whether to read, instead of the sorted set and the list, what earlier migrations of them put into quarantine.
    """

    source: str
    reading: Reading = field(default_factory=Reading)
    dead_letters: str | None = None
    overdue: Doubtful = "reconcile"
    attempted: Doubtful = "reconcile"
    hold_all: bool = False
    stopped_at_ms: int | None = None
    accepted: str | None = None
    accepted_value: str | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class _Member:
    """One member or dead letter, as far as it can be read."""

    found: Found
    claim: Claim
    payment: Payment | None
    problems: tuple[str, ...] = ()
    attempted: bool = False

    @property
    def problem(self) -> str:
        """Why it cannot be read; empty if it can be."""
        return f"migrated from {self.found.came_from}: {'; '.join(self.problems)}" if self.problems else ""


@dataclass(frozen=True, slots=True)
class _Route:
    """Where a member goes: scheduled after a delay if `kind` is none; else to reconcile under `key`, or to quarantine."""

    member: _Member
    kind: Kind | None
    key: str
    delay_ms: int = 0


class Migration:
    """One run. Whatever it ends with, `report` tells how far it came.

    Args:
        server: The address of the queue's server, or a client.
        plan: What to migrate.
        name: The queue's name.
        policy: Its numbers; `longest_delay_ms` says how far in the future a member may be due.
        old_server: The address of the old queue's server, if that is another one.
        dry_run: Whether nothing is to be changed.
        shards: As for `RetryQueue`, like `durability` and `patience_s`.
        durability: What to do if the server does not keep what it accepts.
        patience_s: How long to wait for a server that restarts.
        progress: Is told of the report after each page.
    """

    def __init__(
        self,
        server: str | BlockingClient,
        plan: Plan,
        *,
        name: str = "payments",
        policy: Policy | None = None,
        old_server: str | BlockingClient | None = None,
        dry_run: bool = True,
        shards: int | None = None,
        durability: Durability = "warn",
        patience_s: float = 5.0,
        progress: Callable[[Report], None] | None = None,
    ) -> None:
        self.plan = plan
        self.report = Report(name, plan.source, plan.dead_letters, dry_run, again=plan.again)
        self._progress = progress
        self._policy = policy or Policy()
        self._server = Server(server, patience_s=patience_s, connections=_CONNECTIONS)
        self._old_server = (
            self._server if old_server is None else Server(old_server, patience_s=patience_s, connections=_CONNECTIONS)
        )
        self._old = ForeignQueue(self._old_server, plan.source, plan.dead_letters, patience_s=patience_s, memory_s=MEMORY_S)
        operations = Operations(
            name=name,
            policy=self._policy,
            shards=shards,
            clustered=self._server.clustered,
            durability="ignore" if dry_run else durability,
            patience_s=patience_s,
            hook=None,
        )
        self._ledger = Ledger(self._server, name, patience_s=patience_s, writes=not dry_run)
        self._queue = (_DryQueue if dry_run else _Queue)(self._server, operations, patience_s)
        self._stopped_at_ms = plan.stopped_at_ms

    def run(self) -> Report:
        """Migrates until the old queue is empty, or looks at all of it once; or reads what is in quarantine again.

        Raises:
            QueueUnavailable: If a server did not answer in time. What was done is in `report`; run it again.
            ValueError: If the names are not those of a sorted set and a list.
            NotDurable: As the queue.
        """
        found = self._old.check()
        if self.plan.again:
            self._all_set_aside()
        else:
            self._all_pages(self._old.letters)
            self._all_pages(self._old.members)
        self.report.found = found or self._ledger.knows(self.plan.source)
        self._look_for_lost()
        self.report.left = self._old.left()
        self.report.waiting = self._queue.waiting()
        self.report.finished = True
        return self.report

    def looks(self) -> list[Look]:
        """How much of the first page of the list and of the sorted set can be read; changes nothing.

        Raises:
            QueueUnavailable, ValueError: As `run`.
        """
        self._old.check()
        return [self._look(*read(0)) for read in (self._old.letters, self._old.members)]

    def _look(self, now_ms: int, page: list[Found]) -> Look:
        unreadable = [member for member in (self._read(found, now_ms) for found in page) if member.payment is None]
        reasons = Counter(problem for member in unreadable for problem in member.problems)
        return Look(page[0].came_from if page else "", len(page), len(unreadable), reasons)

    def close(self) -> None:
        """Closes the connections."""
        self._server.close()
        self._old_server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _all_pages(self, read: Callable[[int], tuple[int, list[Found]]]) -> None:
        """Moves page after page. What was moved is gone, so the next page is the first again; not so in a dry run."""
        skipped = 0
        while True:
            now_ms, page = read(skipped)
            if not page:
                return
            self._move(page, now_ms)
            skipped += len(page) if self.report.dry_run else 0
            self._tell()

    def _all_set_aside(self) -> None:
        """Reads again what is in quarantine. Dead letters are the first, as ever: their payments must not be scheduled."""
        for source, is_letters in ((self.plan.dead_letters, True), (self.plan.source, False)):
            if source is None:
                continue
            aside = SetAside(self._queue, self._ledger, source, is_letters=is_letters)
            for now_ms, page in aside.pages():
                self._move(page, now_ms)
                self._tell()
            self.report.forgotten += aside.forgotten

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self.report)

    def _move(self, page: list[Found], now_ms: int) -> None:
        """Stores one page, then removes it from where it was."""
        if self._stopped_at_ms is None:
            self._stopped_at_ms = now_ms
        members = [self._read(found, now_ms) for found in page]
        claimed = self._ledger.claim([member.claim for member in members])
        routes = [self._route(member, answer, now_ms) for member, answer in zip(members, claimed, strict=True)]
        outcomes = _Storing(self._queue, routes, stays="quarantined" if self.plan.again else "already_there").outcomes()
        self._queue.forget(self._retired(zip(claimed, outcomes, strict=True)))
        gone = [] if self.report.dry_run or self.plan.again else self._old.remove(page)
        taken = {found.name for found in gone}
        for route, (outcome, kind, key) in zip(routes, outcomes, strict=True):
            self.report.count(outcome, None if kind is None else _finding(route.member, kind, key))
            if route.member.found.name in taken:
                self.report.count_taken(key)

    def _retired(self, ended: Iterable[tuple[Claimed, _Ending]]) -> Iterator[str]:
        """What lies in quarantine and is stored as a payment now."""
        for claimed, (_, _, key) in ended:
            first, aside = claimed.first, unreadable_key(claimed.first.name)
            if key != aside and (self.plan.again or first.again or first.is_unreadable):
                yield aside

    def _read(self, found: Found, now_ms: int) -> _Member:
        fields: dict[str, Any] = {}
        origin = {"from": found.came_from, "number" if found.is_letter else "due_s": found.mark}
        reading, payment = self.plan.reading, None
        problems: tuple[str, ...] = ()
        try:
            fields = json_object(found.raw)
            payment = reading.payment(fields, origin)
        except InvalidPayment as error:
            problems = error.problems
        except RecursionError:
            problems = ("JSON nested too deeply",)
        claim = Claim(
            name=found.name,
            key=payment.key if payment else unreadable_key(found.name),
            fingerprint=payment.fingerprint.hex() if payment else "",
            source=found.came_from,
            user_id=_short(fields.get(reading.theirs["user_id"])),
            value=_short(fields.get(self.plan.accepted_value)) if self.plan.accepted_value else "",
            at_ms=now_ms,
            mark=found.mark,
        )
        return _Member(found, claim, payment, problems, reading.was_attempted(fields))

    def _route(self, member: _Member, claimed: Claimed, now_ms: int) -> _Route:
        claim, first = member.claim, claimed.first
        if member.payment is None:
            return _Route(member, Kind.UNREADABLE, claim.key)
        if first.key != claim.key and not first.is_unreadable:
            return _Route(member, Kind.EARLIER_RUN, _further(claim))
        if claimed.owner.partition(" ")[0] != claim.name:
            same = claimed.owner.endswith(claim.fingerprint)
            return _Route(member, Kind.SAME_PAYMENT if same else Kind.CONFLICT, _further(claim))
        if self._may_be_known(first, now_ms):
            return _Route(member, Kind.EARLIER_RUN, claim.key)
        delay_ms = max(0.0, member.found.due_ms - now_ms)
        kind = self._doubt(member, delay_ms)
        return _Route(member, kind, claim.key, 0 if kind else round(delay_ms))

    def _may_be_known(self, first: Claim, now_ms: int) -> bool:
        """Whether it may be in the queue under another key, or was charged under its own, which is forgotten since."""
        # Somebody may have enqueued by hand what went to quarantine. With `again` it is still there.
        if (first.is_unreadable or first.again) and not self.plan.again:
            return True
        return not first.is_unreadable and first.at_ms < now_ms - self._policy.key_lives_ms

    def _doubt(self, member: _Member, delay_ms: float) -> Kind | None:
        """Why this member must not be charged without a person's word."""
        plan, due_ms = self.plan, member.found.due_ms
        doubts = {
            Kind.DEAD_LETTER: member.found.is_letter,
            Kind.HELD: plan.hold_all,
            Kind.NO_DUE_TIME: due_ms in (float("inf"), float("-inf")),
            Kind.OVERDUE: plan.overdue == "reconcile" and due_ms <= (self._stopped_at_ms or 0) + CLOCKS_DIFFER_MS,
            Kind.ATTEMPTED: plan.attempted == "reconcile" and member.attempted,
            Kind.TOO_LATE: delay_ms > self._policy.longest_delay_ms,
        }
        return next((kind for kind, holds in doubts.items() if holds), None)

    def _look_for_lost(self) -> None:
        """Compares what the old queue has accepted with what there was."""
        if self.plan.accepted is None:
            return
        by_value = self.plan.accepted_value is not None
        accepted, unattributed = self._old.accepted(self.plan.accepted, by_value=by_value)
        members = self._ledger.subjects({self.plan.source, self.plan.dead_letters}, by_value=by_value)
        self.report.accepted_keys, self.report.unattributed_keys = accepted.total() + unattributed, unattributed
        # The same value accepted twice is one purchase twice; the same user twice is two purchases.
        self.report.suspects = [
            Suspect(subject, count, members[subject])
            for subject, count in sorted(accepted.items())
            if members[subject] < (1 if by_value else count)
        ]


class _Queue:
    """The queue that payments go to."""

    def __init__(self, server: Server, operations: Operations, patience_s: float) -> None:
        self._server = server
        self._operations = operations
        self._patience_s = patience_s

    def schedule(self, entries: Sequence[Entry]) -> list[Receipt]:
        """Stores payments with their delays."""
        receipts: dict[str, Receipt] = {}
        for shard, places in self._server.carry(self._operations.batches([entry.payment.key for entry in entries])):
            stored = self._server.carry(self._operations.enqueue(shard, [entries[place] for place in places]))
            receipts |= {receipt.key: receipt for receipt in stored}
        return [receipts[entry.payment.key] for entry in entries]

    def hold(self, payments: Sequence[Payment], reason: str) -> list[Receipt]:
        """Stores payments for a person."""
        return self._server.carry(self._operations.hold(payments, reason))

    def refuse(self, name: str, raw: bytes, reason: str) -> bool:
        """Puts bytes into quarantine; tells whether they were not there yet."""
        return self._server.carry(self._operations.refuse(name, raw, reason))

    def quarantined(self, cursor: str) -> Page:
        """Some of what lies in quarantine; the cursor of the first page is empty."""
        return self._server.carry(self._operations.page(State.QUARANTINED, cursor))

    def forget(self, keys: Iterable[str]) -> None:
        """Removes from quarantine what is stored as a payment."""
        for key in keys:
            self._server.carry(self._operations.purge(key))

    def waiting(self) -> dict[State, int]:
        """How many payments wait for a person, whoever has put them there."""
        counts = self._server.carry(self._operations.status()).counts
        return {state: counts[state] for state in (State.RECONCILE, State.QUARANTINED)}


class _DryQueue(_Queue):
    """The same queue, of which only is asked what it would answer."""

    def __init__(self, server: Server, operations: Operations, patience_s: float) -> None:
        super().__init__(server, operations, patience_s)
        self._is_there: bool | None = None

    def schedule(self, entries: Sequence[Entry]) -> list[Receipt]:
        return [self._receipt(entry.payment) for entry in entries]

    def hold(self, payments: Sequence[Payment], reason: str) -> list[Receipt]:
        del reason
        return [self._receipt(payment) for payment in payments]

    def refuse(self, name: str, raw: bytes, reason: str) -> bool:
        del raw, reason
        return self._item(name) is None

    def quarantined(self, cursor: str) -> Page:
        return super().quarantined(cursor) if self._laid_out() else Page((), None)

    def forget(self, keys: Iterable[str]) -> None:
        pass

    def waiting(self) -> dict[State, int]:
        return {}

    def _receipt(self, payment: Payment) -> Receipt:
        item = self._item(payment.key)
        if item is None:
            return Receipt(payment.key, "new", State.SCHEDULED, 0, "")
        differs = item.payment is not None and item.payment.fingerprint != payment.fingerprint
        return Receipt(payment.key, "conflict" if differs else "duplicate", item.state, 0, "")

    def _item(self, key: str) -> Item | None:
        return self._server.carry(self._operations.inspect(key)) if self._laid_out() else None

    def _laid_out(self) -> bool:
        """Whether the queue is there. One that is not is not asked: that would lay it out."""
        if self._is_there is None:
            name = f"{{{self._operations.name}}}:shards"
            self._is_there = bool(self._server.carry(patient(lambda: _exists(name), Patience(self._patience_s), "EXISTS")))
        return self._is_there


_Ending = tuple["Outcome", Kind | None, str]


class _Storing:
    """Stores one page, and tells of each member where it ended, why, and under which key.

    Args:
        queue: Where to.
        routes: Where each member goes.
        stays: How that is called which goes to quarantine and is there already.
    """

    def __init__(self, queue: _Queue, routes: list[_Route], *, stays: Outcome) -> None:
        self._stays: Outcome = stays
        self._queue = queue
        self._routes = routes
        self._endings: dict[int, _Ending] = {}

    def outcomes(self) -> list[_Ending]:
        """Stores everything."""
        by_kind: dict[Kind | None, list[int]] = defaultdict(list)
        for place, route in enumerate(self._routes):
            by_kind[route.kind].append(place)
        for kind, places in by_kind.items():
            if kind is Kind.UNREADABLE:
                self._refuse(places)
            elif kind is None:
                self._schedule(places)
            else:
                self._hold(places, kind)
        return [self._endings[place] for place in range(len(self._routes))]

    def _schedule(self, places: list[int]) -> None:
        entries = [Entry(_payment(self._routes[place]), self._routes[place].delay_ms) for place in places]
        self._settle(places, self._queue.schedule(entries), "scheduled", None)

    def _hold(self, places: list[int], kind: Kind) -> None:
        payments = [_payment(self._routes[place]) for place in places]
        self._settle(places, self._queue.hold(payments, REASONS[kind]), "reconcile", kind)

    def _settle(self, places: list[int], receipts: list[Receipt], outcome: Outcome, kind: Kind | None) -> None:
        """Notes what was stored. Where another payment or unreadable bytes have the key, the member gets another one."""
        displaced: list[int] = []
        for place, receipt in zip(places, receipts, strict=True):
            if receipt.answer == "conflict" or receipt.state is State.QUARANTINED:
                displaced.append(place)
            else:
                self._endings[place] = (outcome if receipt.answer == "new" else "already_there", kind, receipt.key)
        self._displace(displaced)

    def _displace(self, places: list[int]) -> None:
        further = [place for place in places if self._routes[place].key != _further(self._routes[place].member.claim)]
        self._refuse([place for place in places if place not in further])
        for place in further:
            route = self._routes[place]
            self._routes[place] = replace(route, kind=Kind.CONFLICT, key=_further(route.member.claim))
        if further:
            self._hold(further, Kind.CONFLICT)

    def _refuse(self, places: list[int]) -> None:
        for place in places:
            member = self._routes[place].member
            name = unreadable_key(member.found.name)
            fresh = self._queue.refuse(name, member.found.raw, member.problem or REASONS[Kind.CONFLICT])
            self._endings[place] = ("quarantined" if fresh else self._stays, Kind.UNREADABLE, name)


def _payment(route: _Route) -> Payment:
    """The payment under the key that it is stored with."""
    payment = route.member.payment
    if payment is None:
        raise AssertionError("only what can be read is stored as a payment")
    return payment if route.key == payment.key else replace(payment, key=route.key)


def _further(claim: Claim) -> str:
    """The key of a member whose own key is another one's; short enough to be one."""
    return f"{claim.key[:160]}~{claim.name}"


def _finding(member: _Member, kind: Kind, key: str) -> Finding:
    reason = REASONS.get(kind) or member.problem
    same_as = member.claim.key if key.endswith(f"~{member.claim.name}") else ""
    return Finding(key, kind, reason, member.found.came_from, member.claim.user_id, same_as)


def _short(value: Any) -> str:
    """A value of a foreign field as text, if it is one that can stand for something."""
    return str(value)[:255] if isinstance(value, str | int) else ""


def _exists(name: str) -> Talk[Any]:
    return (yield Send(("EXISTS", name)))
