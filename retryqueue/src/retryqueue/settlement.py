"""What follows from an outcome: paid, dead, or another attempt after a wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retryqueue.card_numbers import safe_reason
from retryqueue.outcome import Ambiguous, Declined, Outcome, Succeeded
from retryqueue.protocol import Verdict

if TYPE_CHECKING:
    import random

    from retryqueue.policy import Policy
    from retryqueue.states import Lease


LONGEST_REFERENCE = 255


def verdict(lease: Lease, outcome: Outcome | Any, policy: Policy, chance: random.Random) -> Verdict:
    """What to tell the server. What is no outcome at all is taken for the unknown one, since money may have moved."""
    match outcome:
        case Succeeded(reference):
            return Verdict(lease, "succeed", (str(reference).encode(errors="replace").decode()[:LONGEST_REFERENCE],))
        case Declined(reason, final) if final:
            return Verdict(lease, "bury", (safe_reason(reason),))
        case Declined(reason):
            return Verdict(lease, "reschedule", (_wait_ms(lease, policy, chance), 1, safe_reason(reason)))
        case Ambiguous(reason):
            return Verdict(lease, "reschedule", (_wait_ms(lease, policy, chance), 0, safe_reason(reason)))
        case _:
            return verdict(
                lease, Ambiguous(f"the charge function returned {type(outcome).__name__}, no outcome"), policy, chance
            )


def _wait_ms(lease: Lease, policy: Policy, chance: random.Random) -> int:
    """The wait before the next attempt. Attempts that a requeueing or a worker's end has given back do not lengthen it."""
    left = max(0, lease.limit - lease.attempt)
    return policy.backoff_ms(max(1, policy.attempts - left), chance)
