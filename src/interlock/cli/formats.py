"""How results are printed. One function a format; a format's module is imported only when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interlock.core.verdict import Verdict

if TYPE_CHECKING:
    from interlock.check.run import Report
    from interlock.cli.console import Console
    from interlock.gate.change import Change
    from interlock.gate.decide import Decision
    from interlock.gate.question import Asked

CHECK: Final = ("text", "json", "sarif")
GATE: Final = ("text", "json")
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
    lines: list[str] = []
    for finding in report.findings:
        lines.append(f"{finding.location}: {console.paint(finding.hazard, 'red', 'bold')} {finding.message}")
    advised = {finding.hazard: finding.advice for finding in report.findings}
    for name, advice in advised.items():
        lines.append(console.paint(f"  {name}: {advice} (interlock explain {name})", "dim"))
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
    return _gate_json(decision) if name == "json" else _page(decision, change, console)


def _gate_json(decision: Decision) -> str:
    import json  # noqa: PLC0415 - not needed for text.

    questions = [
        {
            "question": asked.question.text,
            "verdict": asked.answer.verdict,
            "answer": asked.answer.answer,
            "evidence": list(asked.answer.evidence),
            "prove_with": asked.question.prove_with,
            "required": asked.required,
        }
        for asked in decision.asked
    ]
    return json.dumps({"version": 1, "verdict": decision.verdict, "questions": questions}, indent=2)


def _page(decision: Decision, change: Change, console: Console) -> str:
    """One page: each question with its answer and proof, and last the verdict with its reason."""
    lines = [f"interlock gate: {change.start[:10]}..{change.head[:10]}, {len(change.paths)} files", ""]
    for asked in decision.asked:
        lines += _answered(asked, console)
    return "\n".join([*lines, "", _verdict(decision, console)])


def _answered(asked: Asked, console: Console) -> list[str]:
    verdict = asked.answer.verdict
    mark = console.paint(f"{verdict:8}", _COLOURS[verdict], "bold")
    lines = [f"{mark} {asked.question.text} {console.paint(asked.answer.answer, 'bold')}"]
    lines += [f"           {line}" for line in asked.answer.evidence]
    if verdict is Verdict.UNKNOWN:
        wanted = "" if asked.required else "not required here; "
        lines.append(console.paint(f"           {wanted}answered by: {asked.question.prove_with}", "dim"))
    return lines


def _verdict(decision: Decision, console: Console) -> str:
    failed = [asked.question.text for asked in decision.asked if asked.answer.verdict is Verdict.FAIL]
    match decision.verdict:
        case Verdict.FAIL:
            why = f"closed, because of: {' '.join(failed)}"
        case Verdict.UNKNOWN:
            why = f"closed until {decision.open_count} open questions are answered"
        case Verdict.PASS:
            why = "open"
    return f"{console.paint(f'verdict: {decision.verdict}', _COLOURS[decision.verdict], 'bold')}: {why}"
