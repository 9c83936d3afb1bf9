"""Balances: a transfer moves money and makes none; nobody's balance falls below zero; no transfer is booked twice."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from interlock.core.errors import UsageError
from interlock.prove.contract import Scenario
from interlock.prove.contracts._asking import check_functions, refused, until_heard
from interlock.prove.facts import Facts
from interlock.prove.faults.crash_after import CrashAfter
from interlock.prove.faults.crash_before import CrashBefore
from interlock.prove.faults.lost_reply import LostReply
from interlock.prove.faults.reset import Reset
from interlock.prove.invariant import Invariant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault
    from interlock.prove.world import World

OPENING = {"ada": 100, "ben": 100, "cleo": 100}


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money that is to move.

    Attributes:
        key: Names the transfer, however often it is asked for.
        source: From whom.
        target: To whom.
        amount_minor: How much, in cents.
    """

    key: str
    source: str
    target: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """What a ledger promises, and how it is asked to do things.

    Attributes:
        open: Opens an account with a balance in cents.
        transfer: Books a transfer. To refuse, it raises; otherwise it is booked.
        balances: The balance of every account.
    """

    open: Callable[[str, int], object]
    transfer: Callable[[Transfer], object]
    balances: Callable[[], Mapping[str, int]]

    def __post_init__(self) -> None:
        check_functions(self, "open", "transfer", "balances")

    def scenarios(self) -> Iterable[Scenario]:
        """At once, twice, more than there is, and with one worker or one reply lost."""
        there, back = Transfer("t1", "ada", "ben", 30), Transfer("t2", "ben", "cleo", 50)
        most, too_much = Transfer("t3", "ada", "ben", 80), Transfer("t4", "ada", "cleo", 70)
        return (
            Scenario("two transfers at once", lambda world, own: _arrange(world, own, [there], [back])),
            Scenario("two transfers of which only one is covered", lambda world, own: _arrange(world, own, [most], [too_much])),
            Scenario("the same transfer twice", lambda world, own: _arrange(world, own, [there, there], [there])),
            Scenario("crash during a transfer", lambda world, own: _arrange(world, own, [there], [back]), strikes=_crashes),
            Scenario("lost reply on a transfer", lambda world, own: _arrange(world, own, [there], [back]), strikes=_losses),
        )


def _crashes(fault: Fault, _: Effect) -> bool:
    return isinstance(fault, CrashBefore | CrashAfter)


def _losses(fault: Fault, _: Effect) -> bool:
    return isinstance(fault, LostReply | Reset)


def _arrange(world: World, own: Ledger, *lines: list[Transfer]) -> None:
    """Clients that ask for transfers, again if they are not sure; and one that asks for all of them once more in the end."""
    told, end = world.outside(Facts()), Facts()
    every = list(dict.fromkeys(transfer for line in lines for transfer in line))

    def book(transfer: Transfer) -> None:
        own.transfer(transfer)
        told.note("booked", transfer.key)

    def client(line: list[Transfer]) -> None:
        for transfer in line:
            refused(until_heard, partial(book, transfer), world.wait)

    def opened() -> None:
        for account, amount_minor in OPENING.items():
            own.open(account, amount_minor)

    world.given(opened)
    world.run(*(partial(client, line) for line in lines))
    world.sometimes("a transfer is booked", lambda: bool(told.every("booked")))
    world.recover(lambda: client(every), waits_s=(60.0,))
    world.look(lambda: end.note("balances", _checked(own.balances())))
    world.check(
        Invariant("the sum of all balances stays the same", lambda: _sum(end)),
        Invariant("no balance is below zero", lambda: _below_zero(end)),
        Invariant(
            "each transfer is booked once or not at all", lambda: _booked(end, every, {key for (key,) in told.every("booked")})
        ),
    )


def _checked(found: Mapping[str, int]) -> dict[str, int]:
    balances = dict(found)
    wrong = [account for account in OPENING if type(balances.get(account)) is not int]
    if wrong:
        raise UsageError(f"Ledger: balances returns {balances!r}, expected a whole number of cents for {wrong[0]!r}")
    return balances


def _balances(end: Facts) -> dict[str, Any]:
    return dict(end.every("balances")[-1][0])


def _sum(end: Facts) -> str | None:
    before, after = sum(OPENING.values()), sum(_balances(end).values())
    return None if before == after else f"the sum of all balances was {before}, and is {after}"


def _below_zero(end: Facts) -> str | None:
    below = {account: balance for account, balance in _balances(end).items() if balance < 0}
    return next((f"{account} has {balance}" for account, balance in below.items()), None)


def _booked(end: Facts, every: list[Transfer], told: set[str]) -> str | None:
    """Some choice of the transfers, with all of those in it that were told of, explains the balances."""
    balances = _balances(end)
    for chosen in range(1 << len(every)):
        booked = [transfer for number, transfer in enumerate(every) if chosen >> number & 1]
        if told <= {transfer.key for transfer in booked} and _after(booked) == {name: balances[name] for name in OPENING}:
            return None
    says = ", ".join(f"{transfer.key} {transfer.source} to {transfer.target} {transfer.amount_minor}" for transfer in every)
    return f"no choice of the transfers ({says}), {', '.join(sorted(told)) or 'none'} told of, leads to {balances}"


def _after(booked: list[Transfer]) -> dict[str, int]:
    balances = dict(OPENING)
    for transfer in booked:
        balances[transfer.source] -= transfer.amount_minor
        balances[transfer.target] += transfer.amount_minor
    return balances
