"""Events wait until those of their time have come: nobody is missing yet who was exposed a moment ago.

A canary that stands still for half a second has not lost the orders of that half second; they come a little later. Counted as
they come, what the baseline has done meanwhile looks like orders that the canary lost. (For conversions: Chapelle, "Modeling
delayed feedback in display advertising", KDD 2014: whoever has not bought yet is not somebody who will not.) So an event of
a user who was exposed at e is judged at

    max(its arrival, e + settles_s)

on both sides alike. The events of one time of exposure are then judged together, and whatever held one side up for less than
settles_s, less the usual delay, leaves no trace. It costs no evidence: each label is the same as before, and is looked at by
settles_s later at most. Nor does it cost soundness: when an event is judged depends on its exposure and its arrival alone,
whose law is that of the baseline while the version changes nothing, so the label is still the canary's with the probability
of the share.

Exposures are told apart by a fortieth of settles_s, so that what waits is bounded, however many come.
"""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_BINS: Final = 40

Kept = list[tuple[tuple[int, int, bool], list[int]]]


class Settling:
    """The events of one metric that wait, by when their users were exposed, and in which step."""

    __slots__ = ("_held", "_settles_s", "_width_s")

    def __init__(self, settles_s: float) -> None:
        self._settles_s = settles_s
        self._width_s = settles_s / _BINS
        self._held: dict[tuple[int, int, bool], list[int]] = {}

    def hold(self, exposed_at_s: float, step: int, counts: tuple[int, int], *, cold: bool) -> None:
        """Events on the baseline and on the canary; `cold` if that step was warming up."""
        pair = self._held.setdefault((floor(exposed_at_s / self._width_s), step, cold), [0, 0])
        pair[0] += counts[0]
        pair[1] += counts[1]

    def settled(self, at_s: float) -> Iterator[tuple[int, bool, tuple[int, int]]]:
        """The step, whether it was warming up, and the counts of all whose time has come."""
        due = [key for key in self._held if (key[0] + 1) * self._width_s + self._settles_s <= at_s]
        for key in due:
            baseline, canary = self._held.pop(key)
            yield key[1], key[2], (baseline, canary)

    def state(self) -> Kept:
        """What a successor has to know."""
        return list(self._held.items())

    def restore(self, state: Kept) -> None:
        """Goes on where a predecessor was."""
        self._held = {(exposed, step, cold): list(counts) for (exposed, step, cold), counts in state}
