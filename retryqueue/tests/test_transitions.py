"""Each transition at its edges: who may finish a payment, when it is tried again, and when it is not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from passing import later, let_pass

from retryqueue import InvalidPayment, Payment, PaymentConflict, Policy, RetryQueue, State, WrongState, protocol
from retryqueue.protocol import MOST_PER_CALL, Entry, Verdict
from retryqueue.shards import Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from servers import RedisServer

    from retryqueue import Item, Lease, Receipt
    from retryqueue.protocol import Call
    from retryqueue.states import Claim

HOUR_MS = 3_600_000
POLICY = Policy(attempts=3, lease_ms=HOUR_MS, provider_window_ms=24 * HOUR_MS)
SHARD = Shard("payments", 0)


def payment(key: str = "order-1", amount_minor: int = 4999, **extras: Any) -> Payment:
    return Payment(key=key, user_id="user", amount_minor=amount_minor, currency="EUR", payment_method_id="pm_1", **extras)


class Desk:
    """A queue, workers' calls on it by hand, and time that passes at a word."""

    def __init__(self, server: RedisServer) -> None:
        self.client: Any = server.client()  # Its types leave open whether it answers bytes.
        self.queue = RetryQueue(server.url, policy=POLICY, durability="ignore")
        self.claims = 0

    def ask(self, call: Call[Any]) -> Any:
        return self.queue._server.carry(self.queue.operations.ask(call))

    def enqueue(self, *keys: str, delay_ms: int = 0, deadline_ms: int | None = None) -> list[Receipt]:
        return self.queue.enqueue_many([payment(key) for key in keys], delay_ms=delay_ms, deadline_ms=deadline_ms)

    def claimed(self, most: int = 100, worker: str = "worker-a", policy: Policy = POLICY) -> Claim:
        self.claims += 1
        answer: Claim = self.ask(protocol.claim(SHARD, policy, worker, str(self.claims), most))
        return answer

    def claim(self, most: int = 100, worker: str = "worker-a") -> tuple[Lease, ...]:
        return self.claimed(most, worker).leases

    def claim_one(self, worker: str = "worker-a") -> Lease:
        (lease,) = self.claim(worker=worker)
        return lease

    def settle(self, transition: Any, lease: Lease, *facts: Any) -> str:
        (answer,) = self.ask(protocol.settle(SHARD, POLICY, transition, [Verdict(lease, transition, facts)]))
        return str(answer)

    def ambiguous(self, lease: Lease, wait_ms: int = 0) -> str:
        return self.settle("reschedule", lease, wait_ms, 0, "timeout")

    def declined(self, lease: Lease, wait_ms: int = 0) -> str:
        return self.settle("reschedule", lease, wait_ms, 1, "insufficient_funds")

    def extend(self, *leases: Lease) -> list[str]:
        return list(self.ask(protocol.extend(SHARD, POLICY, leases)))

    def quarantine(self, lease: Lease) -> str:
        return str(self.ask(protocol.quarantine(SHARD, [(lease.key, lease.token, "unreadable")]))[0])

    def item(self, key: str = "order-1") -> Item:
        found = self.queue.inspect(key)
        assert found is not None
        return found

    def pass_by(self, hours: float) -> None:
        let_pass(self.client, int(hours * HOUR_MS))

    def everything(self) -> dict[bytes, Any]:
        return {key: self.client.dump(key) for key in self.client.keys("*")}


@pytest.fixture
def desk(server: RedisServer) -> Iterator[Desk]:
    one = Desk(server)
    yield one
    one.client.close()
    one.queue.close()


SETTLE: dict[str, Callable[[Desk, Lease], str]] = {
    "succeed": lambda desk, lease: desk.settle("succeed", lease, "ch_1"),
    "reschedule": lambda desk, lease: desk.ambiguous(lease),
    "decline": lambda desk, lease: desk.declined(lease),
    "bury": lambda desk, lease: desk.settle("bury", lease, "stolen_card"),
    "release": lambda desk, lease: desk.settle("release", lease),
    "extend": lambda desk, lease: desk.extend(lease)[0],
    "quarantine": lambda desk, lease: desk.quarantine(lease),
}
every_way = pytest.mark.parametrize("way", SETTLE)


# Fencing.


@every_way
def test_a_stale_worker_cannot_finish_extend_or_fail_a_payment(desk: Desk, way: str) -> None:
    desk.enqueue("order-1")
    stale = desk.claim_one()
    desk.pass_by(2)
    current = desk.claim_one("worker-b")
    before = desk.everything()

    assert SETTLE[way](desk, later(stale, 2 * HOUR_MS)) == "lost"

    assert desk.everything() == before
    assert desk.settle("succeed", current, "ch_2") == "ok"
    assert desk.item().note == "ch_2"


@every_way
def test_whoever_never_held_a_payment_cannot_touch_it(desk: Desk, way: str) -> None:
    desk.enqueue("order-1")
    lease = desk.claim_one()
    before = desk.everything()

    for token in (2, -1):
        assert SETTLE[way](desk, replace(lease, attempt=token)) == "lost"
    assert SETTLE[way](desk, replace(lease, payment=payment("order-2"))) == "lost"
    assert desk.everything() == before


@every_way
def test_a_lease_that_has_run_out_counts_until_somebody_else_has_the_payment(desk: Desk, way: str) -> None:
    desk.enqueue("order-1")
    lease = desk.claim_one()
    desk.pass_by(2)

    assert SETTLE[way](desk, later(lease, 2 * HOUR_MS)) == "ok"


@every_way
def test_a_lease_of_an_earlier_life_of_a_key_does_not_count_in_the_next(desk: Desk, way: str) -> None:
    desk.enqueue("order-1")
    stale = desk.claim_one()
    desk.pass_by(2)
    desk.settle("bury", desk.claim_one(), "stolen_card")
    desk.queue.purge("order-1")
    desk.enqueue("order-1")
    assert desk.claim_one("worker-b").attempt == stale.attempt
    before = desk.everything()

    assert SETTLE[way](desk, later(stale, 2 * HOUR_MS)) == "lost"
    assert desk.everything() == before


@every_way
def test_the_same_payment_twice_in_one_call_is_settled_once(desk: Desk, way: str) -> None:
    desk.enqueue("order-1")
    lease = desk.claim_one()
    if way in {"extend", "quarantine"}:
        twice = [SETTLE[way](desk, lease), SETTLE[way](desk, lease)]
    else:
        transition = {"decline": "reschedule"}.get(way, way)
        facts = {"succeed": ("ch_1",), "bury": ("no",), "release": ()}.get(way, (0, int(way == "decline"), "no"))
        twice = desk.ask(protocol.settle(SHARD, POLICY, transition, [Verdict(lease, transition, facts)] * 2))  # type: ignore[arg-type]

    assert twice == (["ok", "ok"] if way == "extend" else ["ok", "again"])
    assert desk.item().generation == (2 if way in {"decline", "bury"} else 1 if way != "quarantine" else 0)


def test_two_claims_never_share_a_payment(desk: Desk) -> None:
    desk.enqueue(*(f"order-{number}" for number in range(250)))

    given = [lease.key for worker in ("a", "b", "c", "d") for lease in desk.claim(worker=worker)]

    assert len(given) == len(set(given)) == 250


# The provider's window, and whether money may have moved.


def test_when_the_providers_window_has_passed_it_is_never_sent_again_but_reconciled(desk: Desk) -> None:
    desk.enqueue("order-1")
    desk.ambiguous(desk.claim_one())
    desk.pass_by(23.5)  # A lease is an hour: the next attempt could end after the window of 24 hours.

    assert desk.claim() == ()
    assert desk.item().state is State.RECONCILE
    assert "provider may have forgotten the key of attempt 1" in desk.item().note


def test_within_the_providers_window_it_is_sent_again_under_the_same_key(desk: Desk) -> None:
    desk.enqueue("order-1")
    first = desk.claim_one()
    desk.ambiguous(first)
    desk.pass_by(22.9)

    assert desk.claim_one().provider_key == first.provider_key == "order-1:1"


def test_the_window_runs_from_the_first_attempt_under_a_key_and_not_from_the_last(desk: Desk) -> None:
    desk.enqueue("order-1")
    desk.ambiguous(desk.claim_one())
    desk.pass_by(15)
    desk.ambiguous(desk.claim_one())
    desk.pass_by(15)

    assert desk.claim() == ()
    assert desk.item().state is State.RECONCILE


def test_a_vanished_workers_payment_is_reconciled_if_it_lay_longer_than_the_window(desk: Desk) -> None:
    desk.enqueue("order-1")
    desk.claim_one()
    desk.pass_by(30)

    assert desk.claim() == ()
    assert desk.item().state is State.RECONCILE


def test_after_a_decline_the_window_begins_anew(desk: Desk) -> None:
    desk.enqueue("order-1")
    desk.declined(desk.claim_one())
    desk.pass_by(300)

    assert desk.claim_one().provider_key == "order-1:2"


def test_a_payment_that_was_given_back_unsent_has_no_window(desk: Desk) -> None:
    desk.enqueue("order-1")
    desk.settle("release", desk.claim_one())
    desk.pass_by(300)

    assert desk.claim_one().generation == 1


# Deadlines.


def test_a_deadline_that_has_passed_makes_an_uncharged_payment_a_dead_letter(desk: Desk) -> None:
    desk.enqueue("order-1", deadline_ms=2 * HOUR_MS)
    desk.pass_by(3)

    assert desk.claim() == ()
    assert (desk.item().state, desk.item().note) == (State.DEAD, "the deadline has passed")


def test_a_deadline_that_has_passed_sends_a_payment_to_reconcile_if_money_may_have_moved(desk: Desk) -> None:
    desk.enqueue("order-1", deadline_ms=2 * HOUR_MS)
    desk.claim_one()
    desk.pass_by(3)

    assert desk.claim() == ()
    assert desk.item().state is State.RECONCILE


@pytest.mark.parametrize(("declined", "ends"), [(True, State.DEAD), (False, State.RECONCILE)])
def test_a_wait_beyond_the_deadline_is_not_begun(desk: Desk, *, declined: bool, ends: State) -> None:
    desk.enqueue("order-1", deadline_ms=2 * HOUR_MS)
    lease = desk.claim_one()

    assert (desk.declined if declined else desk.ambiguous)(lease, 3 * HOUR_MS) == "ok"

    assert desk.item().state is ends
    assert desk.item().note.startswith("no attempt is possible before the deadline")


def test_an_attempt_before_the_deadline_may_succeed_after_it(desk: Desk) -> None:
    desk.enqueue("order-1", deadline_ms=2 * HOUR_MS)
    desk.pass_by(1.9)
    lease = desk.claim_one()
    desk.pass_by(0.9)

    assert desk.settle("succeed", later(lease, int(0.9 * HOUR_MS)), "ch_1") == "ok"


# Attempts.


@pytest.mark.parametrize(("declined", "ends"), [(True, State.DEAD), (False, State.RECONCILE)])
def test_after_the_last_attempt_it_is_dead_or_reconciled(desk: Desk, *, declined: bool, ends: State) -> None:
    desk.enqueue("order-1")
    for attempt in (1, 2, 3):
        assert desk.item().state is State.SCHEDULED
        lease = desk.claim_one()
        assert lease.attempt == attempt
        (desk.declined if declined else desk.ambiguous)(lease)

    assert desk.item().state is ends
    assert desk.item().note.startswith("attempt 3 of 3: ")
    assert desk.claim() == ()


def test_workers_that_vanish_use_up_the_attempts_and_the_payment_is_reconciled(desk: Desk) -> None:
    desk.enqueue("order-1")
    for attempt in (1, 2, 3):
        assert desk.claim_one().attempt == attempt
        desk.pass_by(1.1)

    assert desk.claim() == ()
    assert desk.item().state is State.RECONCILE
    assert desk.item().note == "attempt 3 of 3 ended without an answer: its worker vanished"


def test_a_decline_after_an_unknown_answer_under_the_same_key_settles_that_no_money_moved(desk: Desk) -> None:
    desk.enqueue("order-1")
    desk.ambiguous(desk.claim_one())
    desk.ambiguous(desk.claim_one())
    desk.declined(desk.claim_one())

    assert desk.item().state is State.DEAD


def test_an_unknown_answer_after_a_decline_leaves_open_whether_money_moved(desk: Desk) -> None:
    desk.enqueue("order-1")
    desk.declined(desk.claim_one())
    desk.declined(desk.claim_one())
    desk.ambiguous(desk.claim_one())

    assert desk.item().state is State.RECONCILE


def test_a_final_decline_buries_at_once(desk: Desk) -> None:
    desk.enqueue("order-1")
    desk.settle("bury", desk.claim_one(), "stolen_card")

    item = desk.item()
    assert (item.state, item.attempt, item.generation, item.note) == (State.DEAD, 1, 2, "stolen_card")
    assert item.payment == payment()


def test_the_wait_is_kept(desk: Desk) -> None:
    desk.enqueue("order-1")
    desk.ambiguous(desk.claim_one(), 2 * HOUR_MS)
    desk.pass_by(1.9)
    assert desk.claim() == ()

    desk.pass_by(0.2)
    assert desk.claim_one().attempt == 2


def test_an_attempt_is_stored_before_anything_is_charged(desk: Desk) -> None:
    desk.enqueue("order-1")
    desk.claim_one()

    assert desk.item().attempt == 1
    assert desk.item().state is State.LEASED


# Generations.


def test_the_key_at_the_provider_stays_after_each_unknown_answer_and_changes_after_each_decline(desk: Desk) -> None:
    desk.enqueue("order-1")
    keys = []
    for step in (desk.ambiguous, desk.declined, desk.ambiguous):
        lease = desk.claim_one()
        keys.append(lease.provider_key)
        step(lease)

    assert keys == ["order-1:1", "order-1:1", "order-1:2"]


def test_the_new_generation_is_stored_before_the_next_attempt(desk: Desk) -> None:
    desk.enqueue("order-1")
    desk.declined(desk.claim_one())

    assert (desk.item().state, desk.item().generation) == (State.SCHEDULED, 2)


def test_a_lease_says_whether_it_is_the_first_under_its_provider_key(desk: Desk) -> None:
    desk.enqueue("order-1")
    first = desk.claim_one()
    desk.ambiguous(first)
    second = desk.claim_one()
    desk.declined(second)
    third = desk.claim_one()

    assert [lease.is_first for lease in (first, second, third)] == [True, False, True]


# Giving back.


def test_giving_back_costs_no_attempt_and_unopens_the_generation(desk: Desk) -> None:
    desk.enqueue("order-1")
    for _ in range(5):  # More than there are attempts.
        assert desk.settle("release", desk.claim_one()) == "ok"
    for _ in range(3):
        assert desk.item().state is State.SCHEDULED
        desk.declined(desk.claim_one())

    assert desk.item().state is State.DEAD


def test_giving_back_does_not_unopen_what_an_earlier_attempt_has_sent(desk: Desk) -> None:
    desk.enqueue("order-1")
    desk.ambiguous(desk.claim_one())
    desk.settle("release", desk.claim_one())
    lease = desk.claim_one()
    assert not lease.is_first
    desk.pass_by(30)

    assert desk.claim() == ()
    assert desk.item().state is State.RECONCILE


def test_a_given_back_payment_past_its_deadline_is_dead_since_nothing_was_sent(desk: Desk) -> None:
    desk.enqueue("order-1", deadline_ms=2 * HOUR_MS)
    desk.settle("release", desk.claim_one())
    desk.pass_by(3)

    assert desk.claim() == ()
    assert desk.item().state is State.DEAD


# Keys.


def test_a_success_answers_repeats_with_its_reference_as_long_as_its_key_lives(desk: Desk) -> None:
    desk.enqueue("order-1")
    desk.settle("succeed", desk.claim_one(), "ch_1")
    desk.pass_by(POLICY.key_lives_ms / HOUR_MS - 0.1)
    desk.claim()

    receipt = desk.queue.enqueue(payment())

    assert (receipt.answer, receipt.state, receipt.attempt, receipt.reference) == ("duplicate", State.SUCCEEDED, 1, "ch_1")
    with pytest.raises(PaymentConflict):
        desk.queue.enqueue(payment(amount_minor=1))


@pytest.mark.parametrize("swept", [True, False])
@pytest.mark.parametrize("amount_minor", [4999, 1])
def test_a_key_whose_life_is_over_is_free_whether_it_was_swept_or_not(desk: Desk, amount_minor: int, *, swept: bool) -> None:
    desk.enqueue("order-1")
    desk.settle("succeed", desk.claim_one(), "ch_1")
    desk.pass_by(POLICY.key_lives_ms / HOUR_MS + 0.1)
    if swept:
        desk.claim()
        assert desk.queue.inspect("order-1") is None

    receipt = desk.queue.enqueue(payment(amount_minor=amount_minor))

    assert (receipt.answer, receipt.state, receipt.attempt) == ("new", State.SCHEDULED, 0)
    assert desk.queue.status().counts[State.SUCCEEDED] == 0
    assert desk.claim_one().attempt == 1


@pytest.mark.parametrize("told_by", ["worker", "operator"])
def test_a_success_after_its_keys_first_life_is_remembered_for_the_whole_horizon(desk: Desk, told_by: str) -> None:
    desk.enqueue("order-1")
    if told_by == "operator":
        desk.claim_one()
        desk.pass_by(1000)
        desk.claim()
        desk.queue.resolve("order-1", paid_as="ch_1")
    else:
        desk.pass_by(1000)
        desk.settle("succeed", desk.claim_one(), "ch_1")
    desk.pass_by(23)
    desk.claim()

    assert desk.queue.enqueue(payment()).reference == "ch_1"


@pytest.mark.parametrize("ends", ["dead", "reconcile", "scheduled"])
def test_the_key_of_a_payment_that_is_not_settled_never_dies(desk: Desk, ends: str) -> None:
    desk.enqueue("order-1", delay_ms=HOUR_MS if ends == "scheduled" else 0)
    if ends == "dead":
        desk.settle("bury", desk.claim_one(), "stolen_card")
    elif ends == "reconcile":
        desk.claim_one()
    desk.pass_by(20_000)
    if ends == "reconcile":
        desk.claim()

    assert desk.queue.enqueue(payment()).answer == "duplicate"
    assert desk.item().state.value == ends


def test_one_call_with_the_same_payment_twice_stores_it_once(desk: Desk) -> None:
    answers = [receipt.answer for receipt in desk.queue.enqueue_many([payment(), payment("order-2"), payment()])]

    assert answers == ["new", "new", "duplicate"]
    assert desk.queue.status().counts[State.SCHEDULED] == 2


def test_one_call_with_two_payments_under_one_key_stores_the_first(desk: Desk) -> None:
    answers = [receipt.answer for receipt in desk.queue.enqueue_many([payment(), payment(amount_minor=1)])]

    assert answers == ["new", "conflict"]
    assert desk.claim_one().payment == payment()


def test_what_only_accompanies_a_payment_is_not_compared_and_the_rest_is(desk: Desk) -> None:
    desk.queue.enqueue(payment(details={"items": [1, {"a": 1, "b": 2}]}, context={"trace": "1"}))

    same = payment(details={"items": [1, {"b": 2, "a": 1}]}, context={"trace": "2"})
    assert desk.queue.enqueue(same).answer == "duplicate"
    with pytest.raises(PaymentConflict, match="'order-1' already stands for another payment, which is scheduled"):
        desk.queue.enqueue(payment(details={"items": [1, {"a": 1, "b": 3}]}))


def test_two_payments_of_one_user_in_one_moment_are_two(desk: Desk) -> None:
    receipts = desk.enqueue("order-1", "order-2")

    assert [receipt.answer for receipt in receipts] == ["new", "new"]
    assert {lease.key for lease in desk.claim()} == {"order-1", "order-2"}


# Operators.


def test_a_dead_payment_that_is_requeued_has_a_full_set_of_attempts_and_no_deadline(desk: Desk) -> None:
    desk.enqueue("order-1", deadline_ms=2 * HOUR_MS)
    desk.settle("bury", desk.claim_one(), "expired_card")
    desk.pass_by(5)
    desk.queue.requeue("order-1")

    for attempt in (2, 3, 4):
        lease = desk.claim_one()
        assert (lease.attempt, lease.generation) == (attempt, attempt)
        desk.declined(lease)
    assert desk.item().state is State.DEAD


@pytest.mark.parametrize("state", ["nothing", "scheduled", "leased", "succeeded", "quarantined", "reconcile", "dead"])
def test_each_step_of_an_operator_starts_from_its_state_only(desk: Desk, state: str) -> None:
    bring_to(desk, state)
    before = desk.everything()
    allowed = {"requeue": {"dead"}, "resolve": {"reconcile"}, "purge": {"dead", "quarantined", "nothing"}}
    steps: dict[str, Callable[[], None]] = {
        "requeue": lambda: desk.queue.requeue("order-1"),
        "resolve": lambda: desk.queue.resolve("order-1", not_paid=True),
        "purge": lambda: desk.queue.purge("order-1"),
    }
    for name, step in steps.items():
        if state not in allowed[name]:
            with pytest.raises(WrongState, match="order-1"):
                step()
            assert desk.everything() == before
    for name, step in steps.items():
        if state in allowed[name]:
            bring_to(desk, state)
            step()
            assert desk.queue.inspect("order-1") is None or desk.item().state is State.SCHEDULED


def bring_to(desk: Desk, state: str) -> None:
    """The payment in this state, whatever was there."""
    desk.client.flushdb()
    desk.queue.close()
    desk.queue = RetryQueue(desk.client, policy=POLICY, durability="ignore")
    desk.queue.status()
    if state != "nothing":
        desk.enqueue("order-1")
    if state not in {"nothing", "scheduled"}:
        lease = desk.claim_one()
        if state == "succeeded":
            desk.settle("succeed", lease, "ch_1")
        elif state == "dead":
            desk.settle("bury", lease, "no")
        elif state == "quarantined":
            desk.quarantine(lease)
        elif state == "reconcile":
            desk.pass_by(30)
            desk.claim()


def test_a_person_who_says_paid_or_not_paid_must_say_one(desk: Desk) -> None:
    bring_to(desk, "reconcile")
    for said in ({}, {"paid_as": "ch_1", "not_paid": True}, {"paid_as": ""}):
        with pytest.raises(ValueError, match="say either"):
            desk.queue.resolve("order-1", **said)
    assert desk.item().state is State.RECONCILE


def test_a_payment_that_was_not_paid_is_tried_again_under_another_key(desk: Desk) -> None:
    bring_to(desk, "reconcile")
    desk.queue.resolve("order-1", not_paid=True)

    lease = desk.claim_one()
    assert (lease.provider_key, lease.is_first, lease.attempt) == ("order-1:2", True, 2)


def test_a_pause_gives_nothing_out_but_lets_holders_finish_and_leases_end(desk: Desk) -> None:
    desk.enqueue("order-1", "order-2")
    (lease,) = desk.claim(1)
    desk.queue.pause()
    desk.enqueue("order-3")

    assert desk.claim() == ()
    assert desk.queue.status().paused
    assert desk.settle("succeed", lease, "ch_1") == "ok"
    desk.queue.resume()
    assert len(desk.claim()) == 2


# What cannot be read.


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff" * 40, b"\x91" * 100_000, b"\x90", b"\x81\xa1a\x01", b"\xc0"])
def test_bytes_that_are_no_record_are_set_aside_and_hold_nobody_up(desk: Desk, raw: bytes) -> None:
    desk.enqueue("order-1", "order-2")
    desk.client.hset(SHARD.key("items"), "order-1", raw)

    assert [lease.key for lease in desk.claim()] == ["order-2"]
    item = desk.item()
    assert (item.state, item.raw, item.note) == (State.QUARANTINED, raw, "the record cannot be read")
    assert desk.queue.enqueue(payment()).state is State.QUARANTINED, "Its key stays taken: it may have been charged."


RECORD = [1, "scheduled", 0, 3, 0, 1, 0, 0, 1, 0, "n", "f", "p", ""]


@pytest.mark.parametrize("place", range(14))
@pytest.mark.parametrize("bad", ["text", -1, 0.5, True, None, [], {"a": 1}])
def test_a_record_with_a_field_of_a_wrong_kind_does_not_stop_the_queue(desk: Desk, place: int, bad: object) -> None:
    record = [*RECORD[:place], bad, *RECORD[place + 1 :]]
    pack = "redis.call('HSET', KEYS[1], 'order-1', cmsgpack.pack(cjson.decode(ARGV[1])))"
    desk.enqueue("order-1", "order-2")
    desk.client.eval(pack, 1, SHARD.key("items"), json.dumps(record))

    keys = {lease.key for lease in desk.claim()}
    desk.pass_by(2)
    keys |= {lease.key for lease in desk.claim()}
    desk.queue.status()

    assert "order-2" in keys
    assert "order-1" not in keys


def test_a_key_without_a_record_is_set_aside(desk: Desk) -> None:
    desk.queue.status()
    desk.client.zadd(SHARD.key("due"), {"order-1": 1, b"\xff\xfe": 1})

    assert desk.claim() == ()
    assert (desk.item().state, desk.item().note) == (State.QUARANTINED, "there is no record")
    assert desk.queue.status().counts == {**dict.fromkeys(State, 0), State.QUARANTINED: 2}


def test_bytes_that_were_set_aside_are_not_overwritten_by_nothing(desk: Desk) -> None:
    desk.enqueue("order-1")
    desk.client.hset(SHARD.key("items"), "order-1", b"precious")
    desk.claim()
    desk.client.zadd(SHARD.key("due"), {"order-1": 1})
    desk.claim()

    assert desk.item().raw == b"precious"


@pytest.mark.parametrize("state", ["leased", "succeeded", "reconcile", "dead"])
def test_a_key_that_foreign_hands_put_among_those_due_is_not_charged_for_it(desk: Desk, state: str) -> None:
    bring_to(desk, state)
    before = desk.item()
    desk.client.zadd(SHARD.key("due"), {"order-1": 1})

    assert desk.claim(worker="worker-b") == ()
    assert desk.item() == before
    assert desk.queue.status().counts[State.SCHEDULED] == 0


def test_a_record_that_rotted_after_it_ended_can_be_purged(desk: Desk) -> None:
    bring_to(desk, "dead")
    desk.client.hset(SHARD.key("items"), "order-1", b"rotten")
    desk.queue.purge("order-1")

    assert desk.queue.inspect("order-1") is None
    assert sum(desk.queue.status().counts.values()) == 0


def test_a_record_whose_payment_cannot_be_read_is_told_apart_and_set_aside_by_its_holder(desk: Desk) -> None:
    record = [*RECORD[:12], '["user",-5,"EUR","pm",{},{}]', ""]
    desk.queue.status()
    pack = "redis.call('HSET', KEYS[1], ARGV[1], cmsgpack.pack(cjson.decode(ARGV[2])))"
    for key in (b"order-1", b"\xff\xfe"):
        desk.client.eval(pack, 1, SHARD.key("items"), key, json.dumps(record))
        desk.client.zadd(SHARD.key("due"), {key: 1})

    claim = desk.claimed()
    assert claim.leases == ()
    assert desk.ask(protocol.quarantine(SHARD, claim.unreadable)) == ["ok", "ok"]

    assert desk.item().state is State.QUARANTINED
    assert "amount_minor" in desk.item().note
    assert desk.queue.status().counts[State.QUARANTINED] == 2


def test_foreign_bytes_are_refused_once(desk: Desk) -> None:
    refuse = protocol.refuse(SHARD, [("foreign-1", b"{", "no JSON"), ("foreign-2", b"[", "no JSON")])
    assert desk.ask(refuse) == 2
    assert desk.ask(protocol.refuse(SHARD, [("foreign-1", b"other", "no JSON")])) == 0
    assert desk.item("foreign-1").raw == b"{"


# Bounds.


def test_no_call_carries_more_than_a_hundred_payments(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    original = protocol.enqueue

    def counting(shard: Shard, policy: Policy, entries: Sequence[Entry]) -> Call[list[Receipt]]:
        sizes.append(len(entries))
        return original(shard, policy, entries)

    monkeypatch.setattr(protocol, "enqueue", counting)
    receipts = desk.enqueue(*(f"order-{number}" for number in range(250)))

    assert [receipt.key for receipt in receipts] == [f"order-{number}" for number in range(250)]
    assert sizes == [MOST_PER_CALL, MOST_PER_CALL, 50]
    assert len(desk.claim(1_000)) == MOST_PER_CALL


def test_a_claim_ends_at_most_as_many_leases_as_it_may_take(desk: Desk) -> None:
    desk.enqueue(*(f"order-{number}" for number in range(250)))
    for _ in range(3):
        desk.claim()
    desk.pass_by(2)
    desk.claim(10)

    counts = desk.queue.status().counts
    assert (counts[State.LEASED], counts[State.SCHEDULED]) == (250, 0), "Ten ended, and were taken again."
    assert sum(item.attempt == 2 for item in desk.queue.items(State.LEASED)) == 10


def test_a_claim_forgets_at_most_a_hundred_keys(desk: Desk) -> None:
    desk.enqueue(*(f"order-{number}" for number in range(250)))
    while leases := desk.claim():
        for lease in leases:
            desk.settle("succeed", lease, "ch")
    desk.pass_by(1_000)

    left = []
    for _ in range(3):
        desk.claim()
        left.append(desk.queue.status().counts[State.SUCCEEDED])
    assert left == [150, 50, 0]
    assert desk.client.hlen(SHARD.key("items")) == 0


def test_a_claim_touches_as_few_records_among_fifty_thousand_as_among_a_hundred(desk: Desk) -> None:
    """The commands that one claim makes on the server are counted, and not their time."""
    counts = []
    for number in (100, 50_000):
        present = desk.queue.status().counts[State.SCHEDULED]
        desk.enqueue(*(f"order-{place}" for place in range(present, number)))
        desk.client.config_resetstat()
        leases = desk.claim(10)
        calls = {
            name: value["calls"]
            for name, value in desk.client.info("commandstats").items()
            if name != "cmdstat_config|resetstat"
        }
        counts.append(calls)
        assert len(leases) == 10
        for lease in leases:
            desk.settle("release", lease)
    assert counts[0] == counts[1]


def test_a_queued_payment_takes_at_most_five_hundred_bytes(desk: Desk) -> None:
    desk.queue.status()
    before = memory_of(desk.client)
    number = 20_000
    desk.queue.enqueue_many([benchmark_payment(place) for place in range(number)])

    assert desk.queue.status().counts[State.SCHEDULED] == number
    assert (memory_of(desk.client) - before) / number <= 500


def memory_of(client: Any) -> int:
    """What the data takes, without the buffers of connections and of the append-only file."""
    stats: dict[str, int] = client.memory_stats()
    return stats["total.allocated"] - stats.get("clients.normal", 0) - stats.get("aof.buffer", 0)


def benchmark_payment(number: int) -> Payment:
    """The payment that the benchmark gives to every queue: 222 bytes as JSON."""
    digits = f"{number:08d}"
    fields: dict[str, Any] = {
        "key": f"order-{digits}",
        "user_id": f"user-{digits}",
        "amount_minor": 4999,
        "currency": "EUR",
        "payment_method_id": "pm_1NXWPnLkdIwHu7ixdQvXrZ0c",
        "details": {"order_id": digits, "items": 3, "statement": "Example Shop order by post"},
    }
    assert len(json.dumps(fields, separators=(",", ":"))) == 222
    return Payment(**fields)


# Wake-up messages.


class Ear:
    """Hears what is published for the workers."""

    def __init__(self, client: Any) -> None:
        self._subscription = client.pubsub()
        self._subscription.subscribe(SHARD.wake)
        assert self._subscription.get_message(timeout=60) is not None

    def heard(self) -> int:
        """How many messages have come since the last time."""
        messages = 0
        self._subscription.ping("end")
        while True:
            message = self._subscription.get_message(timeout=60)
            assert message is not None
            if message["type"] == "pong":
                return messages
            messages += 1


@pytest.fixture
def ear(desk: Desk) -> Iterator[Ear]:
    desk.queue.status()
    one = Ear(desk.client)
    yield one
    one._subscription.close()


def test_a_message_is_sent_only_for_what_is_due_before_everything_else(desk: Desk, ear: Ear) -> None:
    heard = []
    for key, delay_h in [("a", 5), ("b", 6), ("c", 4), ("d", 5), ("c", 0), ("e", 0), ("f", 0)]:
        desk.enqueue(key, delay_ms=delay_h * HOUR_MS)
        desk.pass_by(0.001)
        heard.append(ear.heard())

    assert heard == [1, 0, 1, 0, 0, 1, 0]


def test_a_batch_sends_one_message(desk: Desk, ear: Ear) -> None:
    desk.enqueue(*(f"order-{number}" for number in range(100)))

    assert ear.heard() == 1


def test_whoever_is_scheduled_again_wakes_workers_if_nothing_else_is_due_earlier(desk: Desk, ear: Ear) -> None:
    desk.enqueue("order-1")
    lease = desk.claim_one()
    desk.enqueue("order-2", delay_ms=2 * HOUR_MS)
    ear.heard()

    desk.ambiguous(lease, HOUR_MS)
    assert ear.heard() == 1
    desk.pass_by(1.1)
    desk.ambiguous(desk.claim_one(), 5 * HOUR_MS)
    assert ear.heard() == 0
    assert desk.claimed().next_in_ms == pytest.approx(0.9 * HOUR_MS, abs=60_000)


@pytest.mark.parametrize("way", ["succeed", "bury", "extend", "quarantine"])
def test_what_schedules_nothing_wakes_nobody(desk: Desk, ear: Ear, way: str) -> None:
    desk.enqueue("order-1")
    lease = desk.claim_one()
    ear.heard()
    SETTLE[way](desk, lease)

    assert ear.heard() == 0


def test_operators_wake_the_workers(desk: Desk, ear: Ear) -> None:
    desk.enqueue("order-1")
    desk.settle("bury", desk.claim_one(), "no")
    ear.heard()
    desk.queue.requeue("order-1")
    assert ear.heard() == 1
    desk.queue.pause()
    assert ear.heard() == 0
    desk.queue.resume()
    assert ear.heard() == 1


def test_times_that_are_none_are_refused(desk: Desk) -> None:
    longest, horizon = POLICY.longest_delay_ms, POLICY.retry_horizon_ms
    bad: Sequence[tuple[Any, Any]] = [
        (-1, None), (0.5, None), (True, None), (None, None), (float("nan"), None), (longest + 1, None), ("1", None),
        (0, 0), (0, -1), (0, 1.5), (0, True), (10, 10), (0, horizon + 1), (0, float("inf")),
    ]  # fmt: skip
    for delay_ms, deadline_ms in bad:
        with pytest.raises(InvalidPayment, match="delay_ms"):
            desk.queue.enqueue(payment(), delay_ms=delay_ms, deadline_ms=deadline_ms)
    assert desk.queue.inspect("order-1") is None
    assert desk.queue.enqueue(payment(), delay_ms=longest, deadline_ms=horizon).answer == "new"
    assert protocol.enqueue(SHARD, POLICY, [Entry(payment())]).args[2] == ""
