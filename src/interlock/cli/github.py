"""Workflow commands of GitHub Actions, which become annotations at the lines of a pull request.

Source: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands. GitHub shows ten errors and ten
warnings of a step; the log holds them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from interlock.check.run import Report

_DATA: Final = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY: Final = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


def github(report: Report) -> str:
    """One command a line: an error for each finding, a warning for what was not checked."""
    commands = [
        command(
            "error",
            f"{finding.message}. {finding.advice}",
            file=finding.location.path,
            line=finding.location.line,
            endLine=finding.location.end_line,
            col=finding.location.column,
            title=finding.hazard,
        )
        for finding in report.findings
    ]
    commands += [
        command("warning", problem.message, file=problem.path, line=problem.line or 1, title="not checked")
        for problem in report.problems
    ]
    return "\n".join(commands)


def command(name: str, message: str, **properties: str | int) -> str:
    """One workflow command. What GitHub would take for its syntax is escaped."""
    told = ",".join(f"{key}={str(value).translate(_PROPERTY)}" for key, value in properties.items())
    return f"::{name} {told}::{message.translate(_DATA)}"
