"""How results are printed. One function a format; a format's module is imported only when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interlock.core.counting import counted
from interlock.core.verdict import Verdict

if TYPE_CHECKING:
    from datetime import datetime

    from interlock.check.run import Report
    from interlock.cli.console import Console
    from interlock.gate.change import Change
    from interlock.gate.decide import Decision
    from interlock.gate.question import Asked
    from interlock.gate.records.ground import Ground

CHECK: Final = ("text", "json", "sarif")
GATE: Final = ("text", "json")
_NOT_NEEDED: Final = "  (not needed here)"
_COLOURS: Final = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.UNKNOWN: "yellow"}


def check(name: str, report: Report, console: Console) -> str:
    """The result of `check` in one of its formats."""
    match name:
        case "json":
            return _json(report)
        case "sarif":
            from interlock.cli.sarif import sarif  # noqa: PLC0415 - json is not needed for text.

            return sarif(report)
        case _:
            return _text(report, console)


def _text(report: Report, console: Console) -> str:
    """`path:line:column: family/name message`, one line a finding, and once a hazard what to write instead."""
    lines = [
        f"{finding.location}: {console.paint(finding.hazard, 'red', 'bold')} {finding.message}" for finding in report.findings
    ]
    advised = {finding.hazard: finding.advice for finding in report.findings}
    lines += [console.paint(f"  {name}: {advice} (interlock explain {name})", "dim") for name, advice in advised.items()]
    return "\n".join(lines)


def _json(report: Report) -> str:
    import json  # noqa: PLC0415 - not needed for text.

    document = {
        "version": 1,
        "findings": [
            {
                "hazard": finding.hazard,
                "path": finding.location.path,
                "line": finding.location.line,
                "column": finding.location.column,
                "end_line": finding.location.end_line,
                "severity": finding.severity,
                "confidence": finding.confidence,
                "message": finding.message,
                "advice": finding.advice,
            }
            for finding in report.findings
        ],
        "files": report.files,
        "suppressed": len(report.suppressed),
        "errors": [{"path": problem.path, "line": problem.line, "message": problem.message} for problem in report.problems],
    }
    return json.dumps(document, indent=2)


def gate(name: str, decision: Decision, change: Change, console: Console) -> str:
    """The gate's verdict in one of its formats."""
    return _gate_json(decision, change) if name == "json" else _page(decision, change, console)


def _gate_json(decision: Decision, change: Change) -> str:
    import json  # noqa: PLC0415 - not needed for text.

    questions = [
        {
            "name": asked.name,
            "question": asked.question.text,
            "verdict": asked.answer.verdict,
            "answer": asked.answer.answer,
            "evidence": list(asked.answer.evidence),
            "grounds": [_ground(ground, change.moment) for ground in asked.answer.grounds],
            "prove_with": asked.question.prove_with,
            "required": asked.required,
        }
        for asked in decision.asked
    ]
    return json.dumps({"version": 1, "verdict": decision.verdict, "questions": questions}, indent=2)


def _ground(ground: Ground, now: datetime) -> dict[str, object]:
    age = ground.age(now)
    return {
        "what": ground.what,
        "trust": ground.trust,
        "by": ground.by,
        "made_at": ground.made_at.isoformat(timespec="seconds") if ground.made_at else None,
        "age_s": None if age is None else int(age.total_seconds()),
        "expires_at": ground.expires_at.isoformat(timespec="seconds") if ground.expires_at else None,
        "path": ground.path or None,
    }


def _page(decision: Decision, change: Change, console: Console) -> str:
    """One page: what is known, with its proof; what is open, with the command that answers it; the verdict, with its reason."""
    told = [line for asked in decision.asked for line in _answered(asked, change.moment, console)]
    title = f"interlock gate: {change.start[:10]}..{change.head[:10]}, {counted(len(change.paths), 'file')}"
    return "\n".join([title, "", *told, "", _verdict(decision, console)])


def _answered(asked: Asked, now: datetime, console: Console) -> list[str]:
    answer = asked.answer
    mark = console.paint(f"{answer.verdict:8}", _COLOURS[answer.verdict], "bold")
    lines = [
        f"{mark} {asked.question.text} {console.paint(answer.answer, 'bold')}",
        *(f"           {line}" for line in answer.evidence),
        *(console.paint(f"           {ground.told(now)}", "dim") for ground in answer.grounds),
    ]
    if answer.verdict is Verdict.UNKNOWN:
        lines.append(f"           {asked.question.prove_with}{_NOT_NEEDED if not asked.required else ''}")
    return lines


def _verdict(decision: Decision, console: Console) -> str:
    failed = [asked for asked in decision.asked if asked.answer.verdict is Verdict.FAIL]
    match decision.verdict:
        case Verdict.FAIL:
            why = f"may not ship, {counted(len(failed), 'bad answer')}"
        case Verdict.UNKNOWN:
            why = f"may not ship yet, {counted(decision.open_count, 'required question')} unanswered"
        case Verdict.PASS:
            why = "may ship"
    return f"{console.paint(f'verdict: {decision.verdict}', _COLOURS[decision.verdict], 'bold')} ({why})"
