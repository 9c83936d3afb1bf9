"""How the results of `prove` are printed: for people in a terminal, for programs, and as a page with pictures."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Final

from interlock.cli.page import page, verdict
from interlock.cli.sequence import STYLE, Arrow, sequence_diagram
from interlock.core.counting import counted
from interlock.core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.prove.confirm.confirmation import Confirmation
    from interlock.prove.effect import Step
    from interlock.prove.proof import Proof, Violation
    from interlock.prove.replay import Replayed

FORMATS: Final = ("text", "json", "html")


def proved(form: str, proofs: list[Proof]) -> str:
    """All proofs in one of the formats."""
    match form:
        case "json":
            return json.dumps({"version": 1, "proofs": [_data(proof) for proof in proofs]}, indent=2)
        case "html":
            return page("interlock prove", "\n".join(_section(proof) for proof in proofs), STYLE)
        case _:
            return "\n".join([*(line for proof in proofs for line in _lines(proof)), *_tables(proofs)])


def _tables(proofs: list[Proof]) -> list[str]:
    """For each ready contract: its scenarios, and how many of them hold."""
    promises: dict[str, list[Proof]] = {}
    for proof in proofs:
        called, _, scenario = proof.contract.partition("[")
        if scenario:
            promises.setdefault(called, []).append(proof)
    lines: list[str] = []
    for called, own in promises.items():
        passed = sum(proof.verdict is Verdict.PASS for proof in own)
        lines += ["", f"{called}: {passed} of {counted(len(own), 'scenario')}"]
        width = max(len(proof.contract) for proof in own) - len(called) - 2
        lines += [f"  {proof.verdict:<8}{proof.contract[len(called) + 1 : -1]:<{width}}  {_size(proof)}" for proof in own]
    return lines


def _lines(proof: Proof) -> list[str]:
    from interlock.prove.story import story  # noqa: PLC0415 - it needs greenlets, which `--help` does without.

    head = f"{proof.contract}: {proof.verdict} ({_size(proof)})"
    if proof.violation is not None:
        return [head, *story(proof.violation), *_surety(proof)]
    tried = [f"  done: {bound}" for bound in proof.bounds] or ["  done: nothing completely"]
    if proof.unused:
        tried.append(
            f"  not struck: {proof.unused} of {proof.placements} faults, because what they were placed at did not come"
        )
    tried += [f"  tried in part: {sample}" for sample in proof.samples] + [f"  note: {note}" for note in proof.notes]
    return [head, *tried, *([f"  unknown: {proof.reason}"] if proof.reason else [])]


def _data(proof: Proof) -> dict[str, object]:
    from interlock.prove.story import story  # noqa: PLC0415 - as above.

    return {
        "contract": proof.contract,
        "scenario": proof.contract.partition("[")[2].rstrip("]") or None,
        "mood": proof.violation.mood if proof.violation else None,
        "verdict": proof.verdict,
        "schedules": proof.schedules,
        "placements": proof.placements,
        "unused_placements": proof.unused,
        "exhaustive": proof.bounds,
        "sampled": proof.samples,
        "notes": proof.notes,
        "seed": 0,
        "seconds": round(proof.seconds, 3),
        "violation": list(proof.violation.broken) if proof.violation else None,
        "story": story(proof.violation) if proof.violation else [],
        "confirmed": _confirmed(proof.finding.confirmation) if proof.finding else None,
        "replay": proof.replay or None,
        "reason": proof.reason,
    }


def _surety(proof: Proof) -> list[str]:
    """How sure it is that a contract is broken, and how to see it again."""
    said = proof.finding.confirmation.said if proof.finding else f"unknown: {proof.reason}"
    return [said, *([f"again: interlock prove --replay {proof.replay}"] if proof.replay else [])]


def _confirmed(confirmation: Confirmation) -> dict[str, object]:
    return {
        "times": confirmation.times,
        "same": confirmation.same,
        "killed": confirmation.killed,
        "otherwise": confirmation.otherwise or None,
    }


def replay_told(form: str, path: str, again: Replayed) -> str:
    """What came of a replay, in one of the formats."""
    from interlock.prove.story import story  # noqa: PLC0415 - as above.

    lines = story(again.violation) if again.violation else []
    match form:
        case "json":
            told = {
                "replay": path,
                "verdict": again.verdict,
                "said": again.said,
                "skipped": list(again.skipped),
                "violation": list(again.violation.broken) if again.violation else None,
                "story": lines,
                "confirmed": _confirmed(again.confirmation) if again.confirmation else None,
            }
            return json.dumps({"version": 1, "replays": [told]}, indent=2)
        case "html":
            picture = (
                f'<div class="picture">{sequence_diagram(list(_arrows(again.violation)))}</div>' if again.violation else ""
            )
            body = f"<h2>{escape(path)}: {verdict(again.verdict)}</h2><p>{escape(again.said)}</p>{picture}"
            return page("interlock prove --replay", body, STYLE)
        case _:
            skipped = [f"  skipped: {misfit}" for misfit in again.skipped]
            sure = [again.confirmation.said] if again.confirmation else []
            return "\n".join([f"{path}: {again.verdict}: {again.said}", *skipped, *lines, *sure])


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
                worker=_who(step),
                place=_place(step),
                said=step.effect.said,
                answer=step.answer,
                fault=step.fault or "",
                is_last=(step.fault or "").startswith("crash"),
            )


def _who(step: Step) -> str:
    return f"worker {step.worker}" if step.worker[0].isupper() else step.worker


def _place(step: Step) -> str:
    """The thing that an effect was done to: the host of a request, else the kind of server."""
    match step.effect.kind:
        case "wait":
            return _who(step)
        case "http":
            return step.effect.said.split(" ", 2)[1].partition("/")[0]
        case kind:
            return kind.capitalize()


def _size(proof: Proof) -> str:
    return f"{counted(proof.schedules, 'schedule')}, {proof.seconds:.1f} s"
