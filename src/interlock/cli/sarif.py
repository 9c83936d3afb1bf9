"""SARIF 2.1.0, in the form that code scanning services read: relative paths, stable fingerprints, rules with their story."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from interlock import __version__
from interlock.cli.fingerprints import fingerprinted
from interlock.core.finding import Severity
from interlock.hazards.catalogue import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from interlock.check.run import Report
    from interlock.core.finding import Finding
    from interlock.hazards.catalogue import Listing
    from interlock.hazards.hazard import Hazard

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: Final = {Severity.CRITICAL: "error", Severity.HIGH: "error", Severity.MEDIUM: "warning"}


def sarif(report: Report) -> str:
    """The report as one SARIF run."""
    notes = [{"level": "error", "message": {"text": str(problem)}} for problem in report.problems]
    return log(report.findings, concerned(report.findings, report.hazards), notes, is_whole=not report.problems)


def log(
    findings: Sequence[Finding],
    rules: Iterable[Hazard],
    notes: list[dict[str, Any]],
    *,
    is_whole: bool,
    category: str = "",
) -> str:
    """A log of one run.

    Args:
        findings: What has a place.
        rules: The hazards that are told of.
        notes: What has none, as notifications.
        is_whole: Whether all was seen that had to be.
        category: By which a service tells this run from others of the same commit.
    """
    results = [_result(finding, fingerprint) for finding, fingerprint in fingerprinted(findings)]
    driver = {"name": "interlock", "version": __version__, "rules": [_rule(hazard) for hazard in rules]}
    invocation = {"executionSuccessful": is_whole, "toolExecutionNotifications": notes}
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "invocations": [invocation],
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    if category:
        run["automationDetails"] = {"id": category}
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def concerned(findings: Iterable[Finding], hazards: Iterable[Listing]) -> list[Hazard]:
    """The hazards that are told of: all of interlock, and those of the team that were found."""
    found = {finding.hazard for finding in findings}
    return [*catalogue(), *(listing.load() for listing in hazards if listing.own and listing.name in found)]


def _rule(hazard: Hazard) -> dict[str, Any]:
    story = hazard.story
    told = "\n\n".join(f"## {heading}\n{text}" for heading, text in story.sections.items())
    rule: dict[str, Any] = {
        "id": hazard.name,
        "shortDescription": {"text": story.failure},
        "fullDescription": {"text": story.sections["What happens"]},
        "help": {"text": told, "markdown": told},
        **({"helpUri": hazard.sources[0]} if hazard.sources[0].startswith("https://") else {}),
        "defaultConfiguration": {"level": _LEVELS[hazard.severity]},
    }
    if hazard.name.startswith("security/"):
        rule["properties"] = {"security-severity": "9.0", "tags": ["security"]}
    return rule


def _artifact(path: str) -> dict[str, str]:
    """A file by its URI, relative to where the run started if it is below."""
    uri = quote(os.fsencode(path))
    return {"uri": f"file://{uri}"} if path.startswith("/") else {"uri": uri, "uriBaseId": "%SRCROOT%"}


def _result(finding: Finding, fingerprint: str) -> dict[str, Any]:
    place = finding.location
    return {
        "ruleId": finding.hazard,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.message}. {finding.advice}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": _artifact(place.path),
                    "region": {"startLine": place.line, "startColumn": place.column, "endLine": place.end_line},
                }
            }
        ],
        "partialFingerprints": {"primaryLocationLineHash": fingerprint},
    }
