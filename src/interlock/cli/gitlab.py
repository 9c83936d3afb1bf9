"""GitLab's Code Quality report: one JSON list, which a merge request shows beside its lines.

Source: https://docs.gitlab.com/ci/testing/code_quality/. Paths are relative to the top of the repository and do not begin with
`./`; of findings with one fingerprint GitLab shows one, so each has its own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from interlock.cli.fingerprints import digest, fingerprinted
from interlock.core.finding import Severity

if TYPE_CHECKING:
    from interlock.check.inspect import Problem
    from interlock.check.run import Report
    from interlock.core.finding import Finding

_SEVERITIES: Final = {Severity.CRITICAL: "blocker", Severity.HIGH: "critical", Severity.MEDIUM: "major"}


def gitlab(report: Report) -> str:
    """The report. What was not checked is in it as well, because an empty one looks like a pass."""
    issues = [_issue(finding, fingerprint) for finding, fingerprint in fingerprinted(report.findings)]
    issues += [_unchecked(number, problem) for number, problem in enumerate(report.problems)]
    return json.dumps(issues, indent=2)


def _issue(finding: Finding, fingerprint: str) -> dict[str, Any]:
    return {
        "description": f"{finding.message}. {finding.advice}",
        "check_name": finding.hazard,
        "fingerprint": fingerprint,
        "severity": _SEVERITIES[finding.severity],
        "location": {
            "path": finding.location.path,
            "lines": {"begin": finding.location.line, "end": finding.location.end_line},
        },
    }


def _unchecked(number: int, problem: Problem) -> dict[str, Any]:
    return {
        "description": f"not checked: {problem.message}",
        "check_name": "interlock/not-checked",
        "fingerprint": digest("not-checked", problem.path, problem.message, str(number)),
        "severity": "info",
        "location": {"path": problem.path, "lines": {"begin": problem.line or 1}},
    }
