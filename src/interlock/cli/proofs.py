"""How the results of `prove` are printed: for people in a terminal, for programs, and as a page with pictures."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Final

from interlock.cli.page import page, verdict
from interlock.cli.sequence import STYLE, Arrow, sequence_diagram
from interlock.core.counting import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.prove.explore import Proof, Violation
    from interlock.prove.scheduler import Step

FORMATS: Final = ("text", "json", "html")


def proved(form: str, proofs: list[Proof]) -> str:
    """All proofs in one of the formats."""
    match form:
        case "json":
            return json.dumps({"version": 1, "proofs": [_data(proof) for proof in proofs]}, indent=2)
        case "html":
            return page("interlock prove", "\n".join(_section(proof) for proof in proofs), STYLE)
        case _:
            return "\n".join(line for proof in proofs for line in _lines(proof))


def _lines(proof: Proof) -> list[str]:
    from interlock.prove.story import story  # noqa: PLC0415 - it needs greenlets, which `--help` does without.

    head = f"{proof.contract}: {proof.verdict} ({_size(proof)})"
    if proof.violation is not None:
        return [head, *story(proof.violation)]
    tried = [f"  done: {bound}" for bound in proof.bounds] or ["  done: nothing completely"]
    return [head, *tried, *([f"  unknown: {proof.reason}"] if proof.reason else [])]


def _data(proof: Proof) -> dict[str, object]:
    from interlock.prove.story import story  # noqa: PLC0415 - as above.

    return {
        "contract": proof.contract,
        "scenario": proof.violation.mood if proof.violation else None,
        "verdict": proof.verdict,
        "schedules": proof.schedules,
        "exhaustive": proof.bounds,
        "seed": 0,
        "seconds": round(proof.seconds, 3),
        "violation": list(proof.violation.broken) if proof.violation else None,
        "story": story(proof.violation) if proof.violation else [],
        "reason": proof.reason,
    }


def _section(proof: Proof) -> str:
    head = f'<h2>{escape(proof.contract)}: {verdict(proof.verdict)} <span class="faint">({_size(proof)})</span></h2>'
    if proof.violation is not None:
        broken = "".join(f'<li class="fail">{escape(broken)}</li>' for broken in proof.violation.broken)
        picture = sequence_diagram(list(_arrows(proof.violation)))
        return f'{head}<ul>{broken}</ul><div class="picture">{picture}</div>'
    tried = "".join(f"<li>{escape(bound)}</li>" for bound in proof.bounds) or "<li>nothing completely</li>"
    reason = f'<p class="unknown">{escape(proof.reason)}</p>' if proof.reason else ""
    return f"{head}<p>Tried:</p><ul>{tried}</ul>{reason}"


def _arrows(violation: Violation) -> Iterator[Arrow]:
    """What is drawn: all of what the workers did, and of the clearing up what it changed."""
    for number, step in enumerate(violation.steps):
        if number < violation.recovery_at or step.effect.writes:
            yield Arrow(
                at_s=step.at_s,
                worker=f"worker {step.worker}",
                place=_place(step),
                said=step.effect.said,
                answer=step.answer,
                fault=step.fault or "",
                is_last=(step.fault or "").startswith("crash"),
            )


def _place(step: Step) -> str:
    """The thing that an effect was done to: the host of a request, else the kind of server."""
    match step.effect.kind:
        case "wait":
            return f"worker {step.worker}"
        case "http":
            return step.effect.said.split(" ", 2)[1].partition("/")[0]
        case kind:
            return kind.capitalize()


def _size(proof: Proof) -> str:
    return f"{counted(proof.schedules, 'schedule')}, {proof.seconds:.1f} s"
