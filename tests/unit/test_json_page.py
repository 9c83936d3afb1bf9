"""The page about JSON can be wrong, and then it is said so; and the documents that no other test asks for are as it tells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from interlock.cli.main import main
from interlock.cli.roll.simulate import document
from interlock.roll.simulator.play import Result
from tests.documented import disagreements

if TYPE_CHECKING:
    from pathlib import Path

FINDING = {"hazard": "a/b", "path": "a.py", "line": 1, "column": 1, "end_line": 1, "severity": "high", "confidence": "high"}
CHECKED: dict[str, Any] = {
    "version": 1,
    "findings": [{**FINDING, "message": "m", "advice": "a"}],
    "files": 1,
    "suppressed": 0,
    "errors": [],
}


def test_a_document_that_is_as_told_agrees() -> None:
    assert disagreements("interlock check", CHECKED) == []
    assert disagreements("interlock check", {**CHECKED, "findings": []}) == []


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ({**CHECKED, "more": 1}, "the top has 'more', which is not told"),
        ({key: value for key, value in CHECKED.items() if key != "version"}, "the top has no 'version', which is told"),
        ({**CHECKED, "findings": [{**CHECKED["findings"][0], "id": 1}]}, "findings[] has 'id', which is not told"),
    ],
)
def test_one_that_is_not_is_told(document: dict[str, Any], line: str) -> None:
    assert disagreements("interlock check", document) == [line]


def test_a_finding_that_lacks_fields_is_told() -> None:
    lines = disagreements("interlock check", {**CHECKED, "findings": [FINDING]})
    assert lines == ["findings[] has no 'message', which is told", "findings[] has no 'advice', which is told"]


def test_what_may_be_absent_may_be_absent_and_no_more() -> None:
    release: dict[str, Any] = {"name": "shop", "how": "", "stages": []}
    question: dict[str, Any] = dict.fromkeys(("name", "question", "verdict", "answer", "prove_with", "required"), "x")
    question |= {"evidence": [], "grounds": [], "facts": {}, "waiver": None}
    whole: dict[str, Any] = {"version": 1, "verdict": "pass", "dry_run": False, "waivers_set_aside": []}
    whole["questions"] = [question]
    assert disagreements("interlock gate", whole) == []
    question["facts"] = {"first_step_max": 0.05, "releases": [release]}
    assert disagreements("interlock gate", whole) == []
    question["facts"] = {"releases": [{**release, "colour": "red"}]}
    assert disagreements("interlock gate", whole) == ["questions[].facts.releases[] has 'colour', which is not told"]


def test_simulated_rollouts() -> None:
    result = Result(scenario="s", rule="interlock", onset_s=1.0, is_good=True, stops=())
    assert disagreements("interlock roll simulate", document({"first": [result]}, "pass", "")) == []


def test_where_a_rollout_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "interlock.toml").write_text('[roll.router]\nkind = "flag"\nfile = "rollout.json"\n')
    monkeypatch.chdir(tmp_path)
    assert main(["roll", "status", "--format", "json"]) == 0
    assert disagreements("interlock roll status", json.loads(capsys.readouterr().out)) == []
