"""How the judge and Argo understand each other: the words of an answer, the path to them, and the conditions that read them.

Argo evaluates a condition only in the cluster, so that a slip in one would first show there. Both sides take them from here.

Source: argoproj/argo-rollouts at 9f8d111, metricproviders/webmetric/webmetric.go (a GET without a body, any 2xx, the first
result of the JSONPath) and utils/evaluate/evaluate.go (neither condition true: Inconclusive).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Result(StrEnum):
    """What is known of a canary."""

    HEALTHY = "healthy"
    UNDECIDED = "undecided"
    REGRESSED = "regressed"


class Ask(StrEnum):
    """What Argo asks."""

    BEGIN = "begin"  # A step's weight is in force: anything but harm goes on.
    WATCH = "watch"  # All the time: anything but harm goes on.
    PROMOTE = "promote"  # At the end of a step: only what is known to be good goes on.


JSON_PATH: Final = "{$.result}"
FAILURE: Final = f"result == '{Result.REGRESSED}'"
SUCCESS: Final = {
    Ask.BEGIN: f"result != '{Result.REGRESSED}'",
    Ask.WATCH: f"result != '{Result.REGRESSED}'",
    Ask.PROMOTE: f"result == '{Result.HEALTHY}'",
}
