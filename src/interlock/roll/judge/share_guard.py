"""Does the router really send what was asked? All other statistics rest on it.

A router that sends 1.2 % where 1 % was asked makes every healthy canary look 20 % worse. The labels of requests (the first
of each user in a step, where there are users) tell: if the share is right, each is the canary's with that probability. The
same e-process as for harm, in both directions and with a threshold of 10,000, because a wrong alarm here stops a rollout
without anybody being harmed. The idea is the sample-ratio test of experiments (Lindon & Malek, "Anytime-valid inference for
multinomial count data", NeurIPS 2022).
"""

from __future__ import annotations

from typing import Any, Final

from interlock.roll.judge.labels import Labels
from interlock.roll.judge.mixture import Mixture

_RATIOS: Final = (0.02, 0.5, 0.8, 0.9, 0.95, 1.05, 1.1, 1.2, 1.5, 3.0)
_NEEDED: Final = 1e4


class ShareGuard:
    """Watches the share of one step; it begins anew with each."""

    __slots__ = ("_labels", "_mixture", "_requests", "_stake")

    def __init__(self) -> None:
        self._labels = Labels(_RATIOS)
        self._mixture = Mixture([1.0] * len(_RATIOS))
        self._requests = [0, 0]
        self._stake = 1.0

    def tick(self, share: float, baseline: int, canary: int) -> None:
        """So many new requests on each side."""
        self._requests[0] += baseline
        self._requests[1] += canary
        self._mixture.add(self._stake, self._labels.price([(share, baseline, canary)]))
        self._stake = 0.0

    def complaint(self, share: float) -> str:
        """What is wrong with the share; empty if nothing is known to be."""
        if self._mixture.won < _NEEDED:
            return ""
        measured = self._requests[1] / sum(self._requests)
        return f"the router sends {measured:.3%} to the canary, {share:.3%} was asked"

    def state(self) -> list[Any]:
        """What a successor has to know."""
        return [self._mixture.bets, self._requests, self._stake]

    def restore(self, state: list[Any]) -> None:
        """Goes on where a predecessor was."""
        self._mixture.bets, self._requests, self._stake = list(state[0]), list(state[1]), state[2]
