"""The scripts against a model in plain Python, by random steps: each answer and all that is stored must be as promised.

The model is written from the promises, and keeps dictionaries. Time passes by the clock of `passing`, in whole hours and a
second for each step, so that no two steps fall into one moment and no comparison depends on how fast the machine is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from passing import later, let_pass

from retryqueue import Lease, Payment, Policy, Receipt, RetryQueue, State, WrongState, protocol
from retryqueue.protocol import MOST_PER_CALL, Entry, Verdict
from retryqueue.shards import Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from servers import RedisServer

    from retryqueue.protocol import Call
    from retryqueue.states import Item

# How many histories are tried with each server; a longer hunt sets it higher.
HISTORIES = int(os.environ.get("RETRYQUEUE_MODEL_HISTORIES", "150"))

SECOND_MS, HOUR_MS = 1_000, 3_600_000
# What the machine itself may take for one history, and less than half of any difference that matters.
TOLERANCE_MS = 600_000

POLICY = Policy(
    attempts=3,
    lease_ms=2 * HOUR_MS,
    backoff_base_ms=HOUR_MS,
    longest_delay_ms=6 * HOUR_MS,
    paid_horizon_ms=29 * HOUR_MS,
    provider_window_ms=7 * HOUR_MS,
)
KEYS = ("order-1", "order-2", "order-3")
OPERATIONS = ("requeue", "paid", "not paid", "purge", "hold", "pause", "resume", "resume", "resume")
WORKERS = ("worker-a", "worker-b", "worker-c")
SETS = {
    State.SCHEDULED: "due",
    State.LEASED: "leased",
    State.SUCCEEDED: "paid",
    State.DEAD: "dead",
    State.RECONCILE: "reconcile",
}


@dataclass
class Known:
    """What the model knows of one payment. Times are on the model's clock."""

    amount_minor: int
    state: State
    enqueued_at: int
    deadline: int | None
    limit: int
    attempt: int = 0
    generation: int = 1
    told: int = 0
    # When the provider first saw this generation, and in which attempt; none while it cannot have seen it.
    sent: tuple[int, int] | None = None
    reference: str = ""


@dataclass
class Model:
    """What the promises say."""

    now: int = 0
    paused: bool = False
    known: dict[str, Known] = field(default_factory=dict)
    # Bytes where a record should be.
    rotten: dict[str, bytes] = field(default_factory=dict)
    aside: dict[str, bytes] = field(default_factory=dict)
    # When something is to be done about each key, by set: a payment is in one of them, unless foreign hands put it there.
    times: dict[str, dict[str, int]] = field(default_factory=lambda: {name: {} for name in SETS.values()})
    claims: dict[str, tuple[int, int, list[tuple[str, int, int]]]] = field(default_factory=dict)

    def put(self, key: str, state: State, time: int) -> None:
        """Moves a payment to a state."""
        self.times[SETS[self.known[key].state]].pop(key, None)
        self.known[key].state = state
        self.times[SETS[state]][key] = time

    def schedule(self, key: str, time: int) -> None:
        self.put(key, State.SCHEDULED, time)

    def end(self, key: str) -> None:
        """There is no other attempt: a dead letter, unless money may have moved."""
        self.put(key, State.RECONCILE if self.known[key].sent else State.DEAD, self.now)

    def set_aside(self, key: str, raw: bytes) -> None:
        if raw or key not in self.aside:
            self.aside[key] = raw
        self.forget(key)

    def forget(self, key: str) -> None:
        self.known.pop(key, None)
        self.rotten.pop(key, None)
        for times in self.times.values():
            times.pop(key, None)

    def first(self, name: str, most: int) -> list[str]:
        """The keys of a set whose time has come, the earliest first."""
        come = sorted((time, key) for key, time in self.times[name].items() if time <= self.now)
        return [key for _, key in come[:most]]

    def answer_to(self, key: str, amount_minor: int) -> tuple[str, State, int, str] | None:
        """What an enqueue of a key that is taken is told; nothing if it is free."""
        one = self.known.get(key)
        if key in self.rotten or (one is None and key in self.aside):
            return ("duplicate", State.QUARANTINED, 0, "")
        if one is None:
            return None
        return ("duplicate" if one.amount_minor == amount_minor else "conflict", one.state, one.attempt, one.reference)

    def enqueue(self, key: str, amount_minor: int, delay: int, deadline: int | None) -> tuple[str, State, int, str]:
        one = self.known.get(key)
        if one and one.state is State.SUCCEEDED and self.times["paid"][key] <= self.now:
            del self.known[key], self.times["paid"][key]
        if (answer := self.answer_to(key, amount_minor)) is not None:
            return answer
        ends = None if deadline is None else self.now + deadline
        self.known[key] = Known(amount_minor, State.SCHEDULED, self.now, ends, POLICY.attempts)
        self.schedule(key, self.now + delay)
        return ("new", State.SCHEDULED, 0, "")

    def hold(self, key: str, amount_minor: int) -> tuple[str, State, int, str]:
        if (answer := self.answer_to(key, amount_minor)) is not None:
            return answer
        self.known[key] = Known(amount_minor, State.RECONCILE, self.now, None, 0)
        self.put(key, State.RECONCILE, self.now)
        return ("new", State.RECONCILE, 0, "")

    def claim(self, worker: str, number: int, most: int) -> list[tuple[str, int, int]]:
        """What a worker is given: key, attempt and generation of each."""
        last, until, given = self.claims.get(worker, (0, 0, []))
        if last == number and self.now < until:
            return [
                (key, attempt, self.known[key].generation) for key, attempt, came in given if self.holds(key, attempt, came)
            ]
        self.lapse(most)
        for key in self.first("paid", MOST_PER_CALL):  # However few are asked for.
            self.forget_paid(key)
        taken = [] if self.paused else self.take(most)
        self.claims[worker] = (number, self.now + POLICY.lease_ms, [(k, a, self.known[k].enqueued_at) for k, a, _ in taken])
        return taken

    def forget_paid(self, key: str) -> None:
        self.known.pop(key, None)
        self.rotten.pop(key, None)
        del self.times["paid"][key]

    def lapse(self, most: int) -> None:
        for key in self.first("leased", most):
            if key in self.rotten:
                self.set_aside(key, self.rotten[key])
            elif self.known[key].attempt >= self.known[key].limit:
                self.end(key)
            else:
                self.schedule(key, self.times["leased"][key])

    def take(self, most: int) -> list[tuple[str, int, int]]:
        taken: list[tuple[str, int, int]] = []
        for key in self.first("due", most):
            one = self.known.get(key)
            if one is None:
                self.set_aside(key, self.rotten.get(key, b""))
            elif one.state is not State.SCHEDULED:
                del self.times["due"][key]
            elif self.is_hindered(one):
                self.end(key)
            else:
                one.attempt += 1
                one.sent = one.sent or (self.now, one.attempt)
                self.put(key, State.LEASED, self.now + POLICY.lease_ms)
                taken.append((key, one.attempt, one.generation))
        return taken

    def is_hindered(self, one: Known) -> bool:
        too_late = one.deadline is not None and self.now > one.deadline
        return too_late or (one.sent is not None and self.now + POLICY.lease_ms > one.sent[0] + POLICY.provider_window_ms)

    def holds(self, key: str, attempt: int, came: int) -> bool:
        """Whether the holder of an attempt still is."""
        one = self.known.get(key)
        return one is not None and (one.state, one.attempt, one.enqueued_at) == (State.LEASED, attempt, came)

    def settle(self, key: str, attempt: int, came: int, step: Callable[[str, Known], None]) -> str:
        one = self.known.get(key)
        if one is not None and self.holds(key, attempt, came):
            one.told = attempt
            step(key, one)
            return "ok"
        told_before = one is not None and (one.told, one.enqueued_at) == (attempt, came)
        return "again" if told_before or key in self.aside else "lost"

    def succeed(self, key: str, one: Known, reference: str) -> None:
        one.reference = reference
        self.put(key, State.SUCCEEDED, max(one.enqueued_at + POLICY.key_lives_ms, self.now + POLICY.paid_horizon_ms))

    def reschedule(self, key: str, one: Known, wait: int, *, declined: bool) -> None:
        if declined:
            one.generation, one.sent = one.generation + 1, None
        due = self.now + wait
        if one.attempt >= one.limit or (one.deadline is not None and due > one.deadline):
            self.end(key)
        else:
            self.schedule(key, due)

    def bury(self, key: str, one: Known) -> None:
        one.generation, one.sent = one.generation + 1, None
        self.put(key, State.DEAD, self.now)

    def release(self, key: str, one: Known) -> None:
        one.limit += 1
        if one.sent and one.sent[1] == one.attempt:
            one.sent = None
        self.schedule(key, self.now)

    def again(self, key: str) -> None:
        """Another full set of attempts, on an operator's word."""
        one = self.known[key]
        one.limit, one.deadline = one.attempt + POLICY.attempts, None
        self.schedule(key, self.now)


@dataclass(frozen=True)
class Handle:
    """A lease that some worker was once given, and when it was given on the model's clock."""

    lease: Lease
    given_at: int
    came: int


def amounts() -> st.SearchStrategy[int]:
    return st.sampled_from([100, 100, 100, 250])


def some_keys() -> st.SearchStrategy[str]:
    return st.sampled_from(KEYS)


def payment(key: str, amount_minor: int) -> Payment:
    return Payment(key=key, user_id="user", amount_minor=amount_minor, currency="EUR", payment_method_id="pm")


class QueueMachine(RuleBasedStateMachine):
    """Does each step on the server and in the model, and compares."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self.client: Any = server.client()  # Its types leave open whether it answers bytes.
        self.client.flushall()
        self.queue = RetryQueue(server.url, policy=POLICY, durability="ignore")
        self.shard = Shard("payments", 0)
        self.model = Model()
        self.numbers = dict.fromkeys(WORKERS, 0)
        self.handles: list[Handle] = []
        # So many times foreign hands may meddle; what they have spoilt takes no part in anything else.
        self.mishaps = 0
        self.ever_given: set[tuple[str, int, int]] = set()
        self.seen: dict[tuple[str, int], tuple[int, int]] = {}
        self.may_spend: set[str] = set()
        self.began_ms = self.server_ms()

    def teardown(self) -> None:
        self.client.close()
        self.queue.close()

    def server_ms(self) -> int:
        seconds, micros = self.client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def ask(self, call: Call[Any]) -> Any:
        return self.queue._server.carry(self.queue.operations.ask(call))

    def tick(self, ms: int = SECOND_MS) -> None:
        """After each step a second passes, so that no two happen at once."""
        let_pass(self.client, ms)
        self.model.now += ms

    @initialize(as_functions=st.booleans(), mishaps=st.sampled_from([0, 0, 1, 3]), deadline_h=st.sampled_from([None, 4]))
    def begin(self, mishaps: int, deadline_h: int | None, *, as_functions: bool) -> None:
        self.queue.status()
        dialect = self.queue.operations._dialect
        assert dialect is not None
        assert dialect.functions, "Both servers keep functions."
        dialect.functions = as_functions
        self.mishaps = mishaps
        self.enqueue([(key, 100) for key in KEYS], 0, deadline_h)

    @rule(
        entries=st.lists(st.tuples(some_keys(), amounts()), min_size=1, max_size=4),
        delay_h=st.sampled_from([0, 0, 0, 1, 3]),
        deadline_h=st.sampled_from([None, None, 4, 9]),
    )
    def enqueue(self, entries: list[tuple[str, int]], delay_h: int, deadline_h: int | None) -> None:
        delay, deadline = delay_h * HOUR_MS, None if deadline_h is None else deadline_h * HOUR_MS
        call = protocol.enqueue(self.shard, POLICY, [Entry(payment(*entry), delay, deadline) for entry in entries])
        expected = [self.model.enqueue(key, amount, delay, deadline) for key, amount in entries]
        first, second = self.ask(call), self.ask(call)
        assert [told(receipt) for receipt in first] == expected
        assert second == first, "The same call, sent twice."
        self.tick()

    def hold(self, key: str) -> None:
        call = protocol.hold(self.shard, [payment(key, 100)], "moved here")
        receipt = self.ask(call)[0]
        assert told(receipt) == self.model.hold(key, 100)
        assert self.ask(call) == [receipt]
        self.tick()

    @rule(
        worker=st.sampled_from(WORKERS),
        most=st.sampled_from([1, 2, 100, 100, 100]),
        is_sent_again=st.sampled_from([False, False, False, True]),
    )
    def claim(self, worker: str, most: int, *, is_sent_again: bool) -> None:
        self.claim_of(worker, most, is_sent_again=is_sent_again)

    def claim_of(self, worker: str, most: int, *, is_sent_again: bool) -> None:
        self.numbers[worker] += 0 if is_sent_again else 1
        number = self.numbers[worker]
        is_new = self.model.claims.get(worker, (-1, 0, []))[0] != number or self.model.claims[worker][1] <= self.model.now
        claimed = self.ask(protocol.claim(self.shard, POLICY, worker, str(number), most))
        expected = self.model.claim(worker, number, most)
        assert not claimed.unreadable
        assert [(lease.key, lease.attempt, lease.generation) for lease in claimed.leases] == expected
        for lease in claimed.leases:
            one = self.model.known[lease.key]
            assert lease.payment == payment(lease.key, one.amount_minor)
            assert one.sent is not None
            assert lease.is_first == (one.sent[1] == lease.attempt)
            holder = (lease.key, one.enqueued_at, lease.attempt)
            assert not is_new or holder not in self.ever_given, "No attempt has two holders."
            self.ever_given.add(holder)
        event(f"claimed {len(claimed.leases)}")
        self.check_sleep(claimed.next_in_ms)
        self.handles += [Handle(lease, self.model.now, self.model.known[lease.key].enqueued_at) for lease in claimed.leases]
        self.tick()

    def check_sleep(self, next_in_ms: int | None) -> None:
        """A worker is told when something is due, a lease ends or a key dies, and 0 where that is past."""
        names = ["leased", "paid"] if self.model.paused else ["leased", "paid", "due"]
        nearest = min((time for name in names for time in self.model.times[name].values()), default=None)
        if nearest is None:
            assert next_in_ms is None
        else:
            assert next_in_ms is not None
            assert abs(next_in_ms - max(0, nearest - self.model.now)) < TOLERANCE_MS

    def handle(self, place: int) -> Handle:
        """A lease: first those that are still held, then those that are stale, each beginning with the latest."""
        held = [one for one in self.handles if self.model.holds(one.lease.key, one.lease.attempt, one.came)]
        stale = [one for one in self.handles if one not in held]
        return [*held[::-1], *stale[::-1]][place % len(self.handles)]

    def current(self, handle: Handle) -> Lease:
        return later(handle.lease, self.model.now - handle.given_at)

    def settle(
        self, transition: Any, handles: Sequence[Handle], facts: tuple[Any, ...], step: Callable[[str, Known], None]
    ) -> None:
        verdicts = [Verdict(self.current(handle), transition, facts) for handle in handles]
        call = protocol.settle(self.shard, POLICY, transition, verdicts)
        expected = [self.model.settle(one.lease.key, one.lease.attempt, one.came, step) for one in handles]
        answers = self.ask(call)
        assert answers == expected
        expected = [self.model.settle(one.lease.key, one.lease.attempt, one.came, step) for one in handles]
        sent_again = self.ask(call)
        assert sent_again == expected
        assert all(second == "again" for first, second in zip(answers, sent_again, strict=True) if first == "ok")
        for answer in answers:
            event(f"{transition} {answer}")
        self.tick()

    @rule(
        places=st.lists(st.sampled_from([0, 0, 0, 1, 1, 2, 3, 5, 8]), min_size=1, max_size=3),
        way=st.sampled_from(["succeed", "ambiguous", "ambiguous", "declined", "declined", "bury", "release", "extend"]),
        # In halves of hours, so that no due time falls on a deadline.
        wait_h=st.sampled_from([0, 0, 0.5, 2.5]),
    )
    @precondition(lambda self: self.handles)
    def tell(self, places: list[int], way: str, wait_h: float) -> None:
        """Workers, the current ones or others, tell of their attempts."""
        self.tell_of([self.handle(place) for place in places], way, wait_h)

    @rule(place=st.sampled_from([0, 1, 2]), way=st.sampled_from(["succeed", "ambiguous", "declined", "bury", "release"]))
    @precondition(lambda self: self.handles)
    def tell_of_one(self, place: int, way: str) -> None:
        """The same of one payment that was given out lately, which is the usual case."""
        self.tell_of([self.handle(place)], way, 0)

    def tell_of(self, handles: list[Handle], way: str, wait_h: float) -> None:
        wait, model = int(wait_h * HOUR_MS), self.model
        if way in {"declined", "bury"}:
            self.may_spend |= {handle.lease.key for handle in handles}
        match way:
            case "succeed":
                self.settle(way, handles, ("ch_1",), lambda key, one: model.succeed(key, one, "ch_1"))
            case "ambiguous":
                step = partial(model.reschedule, wait=wait, declined=False)
                self.settle("reschedule", handles, (wait, 0, "timeout"), step)
            case "declined":
                step = partial(model.reschedule, wait=wait, declined=True)
                self.settle("reschedule", handles, (wait, 1, "insufficient_funds"), step)
            case "bury":
                self.settle(way, handles, ("stolen_card",), model.bury)
            case "release":
                self.settle(way, handles, (), model.release)
            case _:
                self.extend(handles)

    def extend(self, handles: list[Handle]) -> None:
        call = protocol.extend(self.shard, POLICY, [self.current(handle) for handle in handles])
        held = [self.model.holds(one.lease.key, one.lease.attempt, one.came) for one in handles]
        for handle, is_held in zip(handles, held, strict=True):
            if is_held:
                self.model.times["leased"][handle.lease.key] = self.model.now + POLICY.lease_ms
        expected = ["ok" if is_held else "lost" for is_held in held]
        assert self.ask(call) == expected
        assert self.ask(call) == expected
        self.tick()

    @rule(place=st.sampled_from([0, 1, 3]))
    @precondition(lambda self: self.handles and self.mishaps)
    def quarantine(self, place: int) -> None:
        self.mishaps -= 1
        handle = self.handle(place)
        lease, raw = self.current(handle), self.client.hget(self.shard.key("items"), handle.lease.key)
        call = protocol.quarantine(self.shard, [(lease.key, lease.token, "cannot be read")])
        expected = self.model.settle(
            lease.key, lease.attempt, handle.came, lambda key, _: self.model.set_aside(key, raw or b"")
        )
        assert self.ask(call) == [expected]
        assert self.ask(call) == ["again" if expected == "ok" else expected]
        self.tick()

    @rule(
        key=some_keys(),
        step=st.sampled_from(OPERATIONS),
    )
    def operate(self, key: str, step: str) -> None:
        """An operator does something, whether the payment is in the right state for it or not."""
        match step:
            case "requeue":
                self.requeue(key)
            case "paid":
                self.resolve(key, "ch_2")
            case "not paid":
                self.resolve(key, None)
            case "purge":
                self.purge(key)
            case "hold":
                self.hold(key)
            case _:
                self.pause(paused=step == "pause")

    def requeue(self, key: str) -> None:
        one = self.model.known.get(key)
        allowed = one is not None and one.state is State.DEAD
        assert self.is_done(lambda: self.queue.requeue(key)) == allowed
        if allowed:
            self.model.again(key)
        self.tick()

    def resolve(self, key: str, paid_as: str | None) -> None:
        one = self.model.known.get(key)
        allowed = one is not None and one.state is State.RECONCILE
        assert self.is_done(lambda: self.queue.resolve(key, paid_as=paid_as, not_paid=not paid_as)) == allowed
        if one is not None and allowed and paid_as:
            self.model.succeed(key, one, paid_as)
        elif one is not None and allowed:
            self.may_spend.add(key)
            one.generation, one.sent = one.generation + 1, None
            self.model.again(key)
        self.tick()

    def purge(self, key: str) -> None:
        one = self.model.known.get(key)
        allowed = one is None or one.state is State.DEAD or key in self.model.aside
        assert self.is_done(lambda: self.queue.purge(key)) == allowed
        if key in self.model.aside:
            del self.model.aside[key]
            if key in self.model.rotten:
                self.model.forget(key)
        elif key in self.model.rotten:
            self.model.forget(key)
        elif one is not None and allowed:
            del self.model.known[key], self.model.times["dead"][key]
        self.tick()

    @staticmethod
    def is_done(step: Callable[[], None]) -> bool:
        try:
            step()
        except WrongState:
            return False
        return True

    def pause(self, *, paused: bool) -> None:
        if paused:
            self.queue.pause()
        else:
            self.queue.resume()
        self.model.paused = paused
        self.tick()

    @rule(worker=st.sampled_from(WORKERS))
    def take_over(self, worker: str) -> None:
        """A worker comes after all leases have ended, unless they were extended meanwhile."""
        self.tick(POLICY.lease_ms)
        self.claim_of(worker, 100, is_sent_again=False)

    @rule(hours=st.sampled_from([1, 1, 1, 2, 3, 6, 26]))
    def let_hours_pass(self, hours: int) -> None:
        self.tick(hours * HOUR_MS)

    @rule(
        key=some_keys(),
        raw=st.one_of(
            st.none(),
            st.binary(max_size=20),
            st.sampled_from([b"\x91" * 20_000, b'{"user_id": "user"}', b"\x9e\x01" + b"\xa9scheduled" * 13]),
        ),
        is_due=st.booleans(),
    )
    @precondition(lambda self: self.mishaps)
    def meddle(self, key: str, raw: bytes | None, *, is_due: bool) -> None:
        """A record becomes other bytes, or foreign hands write a key among those that are due, whatever it stands for."""
        self.mishaps -= 1
        if raw is None:
            self.stray(key)
        else:
            self.rot(key, raw, is_due=is_due)

    def rot(self, key: str, raw: bytes, *, is_due: bool) -> None:
        self.client.hset(self.shard.key("items"), key, raw)
        self.model.known.pop(key, None)
        self.model.rotten[key] = raw
        if is_due:
            self.write_due(key)
        self.tick()

    def stray(self, key: str) -> None:
        self.write_due(key)
        self.tick()

    def write_due(self, key: str) -> None:
        self.client.zadd(self.shard.key("due"), {key: self.server_ms()})
        self.model.times["due"][key] = self.model.now

    @invariant()
    def every_payment_is_where_it_should_be(self) -> None:
        for key in KEYS:
            self.check_item(key, self.queue.inspect(key))
        self.may_spend.clear()

    def check_item(self, key: str, item: Item | None) -> None:
        one = self.model.known.get(key)
        if key in self.model.aside or key in self.model.rotten:
            assert item is not None
            assert (item.state, item.raw) == (State.QUARANTINED, self.model.aside.get(key, self.model.rotten.get(key)))
            return
        if one is None:
            assert item is None
            return
        assert item is not None
        found = (item.state, item.attempt, item.limit, item.generation, item.payment)
        paid = one.state is State.SUCCEEDED
        assert found == (one.state, one.attempt, one.limit, one.generation, None if paid else payment(key, one.amount_minor))
        assert item.note == one.reference or not paid
        self.check_time(item.since_ms, self.model.times[SETS[one.state]][key])
        self.check_time(item.enqueued_at_ms, one.enqueued_at)
        assert (item.deadline_ms is None) == (one.deadline is None)
        if item.deadline_ms is not None and one.deadline is not None:
            self.check_time(item.deadline_ms, one.deadline)
        self.check_progress(key, one, item)

    def check_time(self, found_ms: int, expected: int) -> None:
        assert 0 <= found_ms + self.model.now - self.began_ms - expected < TOLERANCE_MS

    def check_progress(self, key: str, one: Known, item: Item) -> None:
        """Attempts never go back, and a generation is spent only after a decline, or on a person's word."""
        attempt, generation = self.seen.get((key, one.enqueued_at), (0, 1))
        assert item.attempt >= attempt
        assert item.generation == generation or (item.generation == generation + 1 and key in self.may_spend)
        self.seen[key, one.enqueued_at] = (item.attempt, item.generation)

    @invariant()
    def every_count_is_right(self) -> None:
        status = self.queue.status()
        expected = {state: len(self.model.times[name]) for state, name in SETS.items()}
        assert status.counts == {**expected, State.QUARANTINED: len(self.model.aside)}
        assert status.paused == self.model.paused

    @invariant()
    def every_key_is_in_exactly_the_sets_it_should_be_in(self) -> None:
        for name, times in self.model.times.items():
            assert {key.decode() for key in self.client.zrange(self.shard.key(name), 0, -1)} == set(times)
        stored = {key.decode() for key in self.client.hkeys(self.shard.key("items"))}
        assert stored == self.model.known.keys() | self.model.rotten.keys()


def told(receipt: Receipt) -> tuple[str, State, int, str]:
    return (receipt.answer, receipt.state, receipt.attempt, receipt.reference)


def test_whatever_happens_each_payment_is_where_the_promises_say(running_server: RedisServer) -> None:
    run_state_machine_as_test(
        partial(QueueMachine, running_server),  # type: ignore[arg-type]
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
