"""How a rollout is shown while it runs, and how its result is printed: for people, for programs, and as a page with a plot."""

from __future__ import annotations

import json
import time
from html import escape
from typing import TYPE_CHECKING, Any, Final

from interlock.cli.page import page, verdict
from interlock.cli.rollplot import plot
from interlock.core.counting import counted
from interlock.roll.state import Phase

if TYPE_CHECKING:
    from interlock.cli.console import Console
    from interlock.roll.journal import Journal
    from interlock.roll.judge import Judgement
    from interlock.roll.plan import Plan
    from interlock.roll.rollback import Done
    from interlock.roll.rollout import Outcome
    from interlock.roll.state import State

FORMATS: Final = ("text", "json", "html")
_LINE_EVERY_S: Final = 15.0  # A rollout takes hours, and a pipeline keeps every line.


class Live:
    """Shows it while it runs: one line drawn anew on a terminal, a line now and then elsewhere."""

    def __init__(self, plan: Plan, console: Console, journal: Journal) -> None:
        self._plan = plan
        self._console = console
        self._journal = journal

    def entered(self, state: State) -> None:
        """Another phase or step has begun."""
        match state.phase:
            case Phase.BAKE:
                step = self._plan.steps[state.step]
                self._console.note(
                    f"step {state.step + 1} of {len(self._plan.steps)}: {percent(step.share)} for {clock(step.bake_s)}"
                )
            case Phase.ABORT:
                self._console.note(f"abort: {state.reason}")
            case Phase.PROMOTE:
                self._console.note("every step was passed")
            case _:
                pass

    def looked(self, state: State, judgement: Judgement, note: str) -> None:
        """One look at the canary."""
        step = self._plan.steps[state.step]
        over = state.phase is not Phase.BAKE
        self._journal.note(time.time(), state.step, step.share, judgement, always=over)
        line = (
            f"step {state.step + 1}/{len(self._plan.steps)}  {percent(step.share)}"
            f"  {clock(state.baked_s)} of {clock(self._plan.watched_s(step))}"
            f"  evidence {judgement.evidence:.3g} of {judgement.needed:.3g}"
            f"  exposed {judgement.exposed_users}, harmed {judgement.harmed_users}  {note}"
        )
        self._console.status(line, line_every_s=_LINE_EVERY_S)

    def did(self, done: Done) -> None:
        """One thing of the rollback or the promotion is done."""
        self._console.note(f"  {done.what}: {done.verdict} ({done.found})")


def percent(share: float) -> str:
    """`1 %`, `0.01 %`."""
    return f"{share * 100:g} %"


def clock(seconds: float) -> str:
    """`02:05`."""
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def found(outcome: Outcome) -> dict[str, Any]:
    """The facts of a rollout."""
    state, judgement = outcome.state, outcome.judgement
    return {
        "verdict": outcome.verdict,
        "phase": state.phase,
        "reason": state.reason,
        "step": state.step + 1,
        "decided_after": {"requests": state.requests, "seconds": round(state.decided_s, 2)},
        "users_exposed": judgement.exposed_users,
        "users_harmed": judgement.harmed_users,
        "evidence": judgement.evidence,
        "needed": judgement.needed,
        "metrics": [
            {
                "name": metric.name,
                "verdict": metric.verdict,
                "evidence": metric.evidence,
                "canary": metric.canary,
                "expected": round(metric.expected, 3),
                "reason": metric.reason,
            }
            for metric in judgement.metrics
        ],
        "done": [{"what": done.what, "verdict": done.verdict, "found": done.found} for done in outcome.done],
    }


def json_of(outcome: Outcome) -> str:
    """For programs."""
    return json.dumps({"version": 1, **found(outcome)}, indent=2)


def text(outcome: Outcome, console: Console) -> str:
    """For people."""
    colour = {"pass": "green", "fail": "red"}.get(outcome.verdict, "yellow")
    head = console.paint(f"{outcome.state.phase}: {outcome.verdict}", "bold", colour)
    return "\n".join([head, *(f"  {line}" for line in _lines(outcome))])


def _lines(outcome: Outcome) -> list[str]:
    state, judgement = outcome.state, outcome.judgement
    seen = f"{judgement.exposed_users} users exposed, {judgement.harmed_users} harmed"
    return [
        state.reason,
        f"decided at step {state.step + 1} after {state.decided_s:.1f} s and {counted(state.requests, 'request')}; {seen}",
        *(f"{done.what}: {done.verdict} ({done.found})" for done in outcome.done),
    ]


def html(outcome: Outcome, rows: list[dict[str, Any]]) -> str:
    """For people who were not there."""
    facts = "".join(f"<li>{escape(line)}</li>" for line in _lines(outcome))
    metrics = "".join(
        f"<tr><td>{escape(metric.name)}</td><td>{verdict(metric.verdict)}</td><td>{metric.canary}</td>"
        f"<td>{metric.expected:.1f}</td><td>{metric.evidence:.3g}</td><td>{escape(metric.reason)}</td></tr>"
        for metric in outcome.judgement.metrics
    )
    heads = "".join(f"<th>{head}</th>" for head in ("metric", "", "on the canary", "expected", "evidence", "why"))
    body = (
        f"<h1>{escape(outcome.state.phase)}: {verdict(outcome.verdict)}</h1><ul>{facts}</ul>"
        f'<div class="picture">{plot(rows)}</div><table><tr>{heads}</tr>{metrics}</table>'
    )
    return page("interlock roll", body)
