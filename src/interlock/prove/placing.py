"""Which faults are placed where; and which are left out, because another one comes to the same.

To a read that changes nothing, these are the same: the worker is killed before it or after it; the connection ends before it is
carried out or before its answer has come, since nobody can use that connection any more. And where a worker has always gone on
at once, to be killed after an effect is to be killed before the next one, if nobody is let act in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.prove.faults import every_fault
from interlock.prove.faults.crash_after import CrashAfter
from interlock.prove.faults.crash_before import CrashBefore
from interlock.prove.faults.lost_reply import LostReply
from interlock.prove.faults.reset import Reset

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault
    from interlock.prove.onward import Follows, Place

    Seen = Mapping[Place, Collection[Effect]]
    Strikes = Callable[[Fault, Effect], bool]

_KILLS_BEFORE, _KILLS_AFTER, _RESETS, _LOSES = CrashBefore(), CrashAfter(), Reset(), LostReply()


def placed(seen: Seen, strikes: Strikes, follows: Follows | None) -> Iterator[tuple[Place, Fault]]:
    """Each fault that may strike at a place, but for those that come to what another one does.

    Args:
        seen: What was done at each place, in whatever schedule.
        strikes: Whether a fault is to be placed at an effect.
        follows: What their worker could do at once after each effect. Nothing, if no fault is to be left out.
    """
    for place in sorted(seen):
        faults = dict.fromkeys(fault for effect in seen[place] for fault in every_fault(effect) if strikes(fault, effect))
        left_out = _left_out(seen, strikes, place, follows.get(place)) if follows is not None else set[object]()
        yield from ((place, fault) for fault in faults if fault not in left_out)


def _left_out(seen: Seen, strikes: Strikes, place: Place, then: frozenset[Place] | None) -> set[object]:
    """The faults that another one stands for at this place, or at the next."""

    def is_placed(fault: Fault, *places: Place) -> bool:
        return all(strikes(fault, effect) for one in places for effect in seen[one])

    only_reads = all(effect.is_remote and not effect.writes for effect in seen[place])
    pairs = ((_KILLS_BEFORE, _KILLS_AFTER), (_LOSES, _RESETS)) if only_reads else ()
    same: set[object] = {one for one, other in pairs if is_placed(other, place)}
    goes_on = then is not None and then <= seen.keys() and is_placed(_KILLS_BEFORE, *then)
    return same | {_KILLS_AFTER} if goes_on else same
