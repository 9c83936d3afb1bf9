"""The label of an event: given that something bad happened, was it on the canary?

If the version changes nothing, each label is `canary` with the probability that a user is on the canary, whatever the
traffic, the hour, a shared incident or the baseline's own rate. If the canary's rate is r times the baseline's, the
probability is

    theta(r) = w r / (w r + 1 - w)                                    w: the canary's share of the users at exposure

This is the conditional form of comparing two Poisson rates (Przyborowski & Wilenski 1940), one label at a time as in Lindon
& Malek, "Anytime-valid inference for multinomial count data" (NeurIPS 2022).
"""

from __future__ import annotations


def on_canary(ratio: float, share: float) -> float:
    """The probability that an event is the canary's, if the canary's rate is `ratio` times the baseline's."""
    return share * ratio / (share * ratio + 1.0 - share)
