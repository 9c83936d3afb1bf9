"""How the results of `check` are printed. One function a format; a format's module is imported only when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from interlock.check.run import Report
    from interlock.cli.console import Console

CHECK: Final = ("text", "json", "sarif", "github", "gitlab")


def check(name: str, report: Report, console: Console) -> str:
    """The result of `check` in one of its formats."""
    match name:
        case "json":
            return _json(report)
        case "sarif":
            from interlock.cli.sarif import sarif  # noqa: PLC0415 - json is not needed for text.

            return sarif(report)
        case "github":
            from interlock.cli.github import github  # noqa: PLC0415 - likewise.

            return github(report)
        case "gitlab":
            from interlock.cli.gitlab import gitlab  # noqa: PLC0415 - likewise.

            return gitlab(report)
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
