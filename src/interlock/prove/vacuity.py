"""Whether a proof has tried anything: workers that change nothing break nothing, and what breaks nothing is not yet right.

Something must have happened in some schedule, before the worker that clears up acts. Unless a contract names what, it is that
the workers change something outside of themselves: in Redis or Postgres as these servers count it, or by asking somebody.
That it does not happen in other schedules, of a worker that comes too late, say, is as it should be.

Source: the `sometimes` assertions of Antithesis, which fail if they hold in no run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.core.counting import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from interlock.prove.effect import Effect, Step
    from interlock.prove.proof import Proof

_TOLD_MOST = 3

# Whose changes are counted by the server itself: a command that could write, and finds nothing to, has changed nothing.
_COUNTED = frozenset({"redis", "postgres"})


@dataclass(frozen=True, slots=True)
class Sometimes:
    """Something that must have happened when the workers are done, in one schedule at least.

    Attributes:
        never: What is told if it never has.
        seen: Whether it has, in this schedule.
        advice: What to do then.
    """

    never: str
    seen: Callable[[], bool]
    advice: str = ""


def something_changes(seen: Callable[[], bool]) -> Sometimes:
    """What must happen in any contract that does not say what must.

    Args:
        seen: Whether the workers have changed anything.
    """
    return Sometimes(
        "the workers changed nothing",
        seen,
        "let what they are to work on be due before they begin, as with world.given(lambda: world.wait(61));"
        " or say what they must have seen: world.sometimes(...)",
    )


def reach_out(steps: Iterable[Step]) -> bool:
    """Whether anything was changed that no server counts: somebody was asked over HTTP, or told of something."""
    return any(step.effect.writes and (step.effect.kind not in _COUNTED or _is_told(step)) for step in steps)


def _is_told(step: Step) -> bool:
    return any(name.startswith("redis-channel") for name in step.effect.writes)


def nothing_tried(
    proof: Proof, missing: Mapping[str, str], seen: Mapping[tuple[int, int], Mapping[Effect, None]], *, wants_faults: bool
) -> str:
    """Why a proof in which nothing broke says nothing; empty if it says something.

    Args:
        proof: Which.
        missing: What must happen and never did, and what to do then.
        seen: What the workers did at each place.
        wants_faults: Whether it is about what follows from a fault.
    """
    did = _did(list(dict.fromkeys(effect.said for effects in seen.values() for effect in effects)))
    for never, advice in missing.items():
        return f"{never}, in {counted(proof.schedules, 'schedule')}: {did}" + (f"; {advice}" if advice else "")
    if wants_faults and proof.placements == proof.unused:
        return f"no fault that this is about has struck anything, in {counted(proof.schedules, 'schedule')}: {did}"
    return ""


def _did(said: Sequence[str]) -> str:
    if not said:
        return "they did nothing at all"
    told = ", ".join(f"`{one}`" for one in said[:_TOLD_MOST])
    return f"they did {told}" + (f" and {len(said) - _TOLD_MOST} others" if len(said) > _TOLD_MOST else "")
