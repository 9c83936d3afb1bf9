"""A violation as people read it: who did what, when, what came of it, and where the fault struck."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.prove.proof import Violation
    from interlock.prove.scheduler import Step


def story(violation: Violation) -> list[str]:
    """The lines of the story. Of the worker that clears up, only what it changed is told."""
    lines = [_line(step) for step in violation.steps[: violation.recovery_at]]
    cleared = [step for step in violation.steps[violation.recovery_at :] if step.effect.writes]
    lines += ["-- afterwards, a worker that nothing happens to clears up"]
    lines += [_line(step) for step in cleared] or ["   it finds nothing to do"]
    return [*lines, *(f"BROKEN: {broken}" for broken in violation.broken)]


def _line(step: Step) -> str:
    told = f" -> {step.answer}" if step.answer else ""
    fault = f"   ** {step.fault}" if step.fault else ""
    return f"{step.at_s:8.1f} s  {step.worker}  {step.effect.said}{told}{fault}"
