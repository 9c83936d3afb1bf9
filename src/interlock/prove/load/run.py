"""Puts a contract under a load, in a child process that is ended when the time is over, whatever the module does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from interlock.prove.load.crew import Ended
from interlock.prove.load.drive import driven
from interlock.prove.load.judge import judged
from interlock.prove.load.result import LoadResult
from interlock.prove.sources import loaded_sources
from interlock.prove.watchdog import NoAnswer, supervised

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.contract import Contract
    from interlock.prove.load.scene import LoadProgress
    from interlock.prove.load.shapes import Shape

BUDGET_S = 60.0
# After the budget, on a machine that is busy: what a million calls came to is sorted several times.
_JUDGED_WITHIN_S, _CALLS_JUDGED_PER_S = 10.0, 50_000


def loaded(
    contract: Contract, shape: Shape, *, budget_s: float = BUDGET_S, told: Callable[[LoadProgress], None] = lambda _: None
) -> LoadResult:
    """What a load shows.

    Args:
        contract: What is put under it.
        shape: The load.
        budget_s: How long it may take; what was not made by then leaves the answer unknown.
        told: Is called now and then with how far it is.

    Raises:
        WorldError: If there is no Redis on this machine.
        UsageError: If the contract cannot be put under load.
    """
    began_s = time.monotonic()
    ends_at_s = began_s + budget_s

    def answer(tell: Callable[[object], None]) -> LoadResult:
        try:
            asked, seen = driven(contract, shape, ends_at_s, tell)
        except Ended as error:
            return _unknown(contract, shape, str(error))
        result = judged(contract.name, shape, asked, seen)
        result.sources |= loaded_sources()
        return result

    try:
        result = supervised(answer, ends_at_s + _JUDGED_WITHIN_S + shape.calls / _CALLS_JUDGED_PER_S, told)
    except NoAnswer as error:
        result = _unknown(contract, shape, str(error))
    result.seconds = time.monotonic() - began_s
    return result


def _unknown(contract: Contract, shape: Shape, reason: str) -> LoadResult:
    """The result of a load of which nothing is known, and why."""
    return LoadResult(
        contract.name,
        shape.name,
        planned=shape.calls,
        success_min=shape.success_min,
        over_s=shape.over_s,
        reasons=[reason],
    )
