"""What we write as SARIF 2.1.0, held against the parts of the OASIS standard that code scanning services read."""

# pyright: basic
# (jsonschema ships no types.)

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped]  # It ships no types.

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Git, Interlock

BAD = "import time\n\ndef new_order(user):\n    order_id = f'{user.id}-{int(time.time())}'\n    return order_id\n"

TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
POSITIVE = {"type": "integer", "minimum": 1}

# By the sections of the standard: 3.13 log, 3.14 run, 3.20 invocation, 3.27 result, 3.28 location, 3.29 physical location,
# 3.4 artifact location, 3.17 automation details, 3.30 region, 3.49 rule.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "version": {"const": "2.1.0"},
        "$schema": {"type": "string", "format": "uri"},
        "runs": {"type": "array", "minItems": 1, "maxItems": 1, "items": {"$ref": "#/$defs/run"}},
    },
    "$defs": {
        "run": {
            "type": "object",
            "required": ["tool", "results"],
            "additionalProperties": False,
            "properties": {
                "tool": {
                    "type": "object",
                    "required": ["driver"],
                    "properties": {
                        "driver": {
                            "type": "object",
                            "required": ["name"],
                            "properties": {
                                "name": {"type": "string"},
                                "version": {"type": "string"},
                                "informationUri": {"type": "string"},
                                "rules": {"type": "array", "uniqueItems": True, "items": {"$ref": "#/$defs/rule"}},
                            },
                            "additionalProperties": False,
                        }
                    },
                },
                "invocations": {"type": "array", "items": {"$ref": "#/$defs/invocation"}},
                "originalUriBaseIds": {"type": "object"},
                "automationDetails": {
                    "type": "object",
                    "required": ["id"],
                    "properties": {"id": {"type": "string", "pattern": "/$"}},
                    "additionalProperties": False,
                },
                "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                "results": {"type": "array", "items": {"$ref": "#/$defs/result"}},
            },
        },
        "invocation": {
            "type": "object",
            "required": ["executionSuccessful"],
            "additionalProperties": False,
            "properties": {
                "executionSuccessful": {"type": "boolean"},
                "toolExecutionNotifications": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["message"],
                        "properties": {"level": LEVEL, "message": TEXT, "locations": {"type": "array"}},
                        "additionalProperties": False,
                    },
                },
            },
        },
        "rule": {
            "type": "object",
            "required": ["id"],
            "additionalProperties": False,
            "properties": {
                "id": {"type": "string"},
                "name": {"type": "string"},
                "shortDescription": TEXT,
                "fullDescription": TEXT,
                "help": TEXT,
                "helpUri": {"type": "string", "pattern": "^https://"},
                "defaultConfiguration": {"type": "object", "properties": {"level": LEVEL}},
                "properties": {"type": "object"},
            },
        },
        "result": {
            "type": "object",
            "required": ["message", "ruleId", "locations", "partialFingerprints"],
            "additionalProperties": False,
            "properties": {
                "ruleId": {"type": "string"},
                "level": LEVEL,
                "message": TEXT,
                "locations": {"type": "array", "minItems": 1, "maxItems": 1, "items": {"$ref": "#/$defs/location"}},
                "partialFingerprints": {
                    "type": "object",
                    "required": ["primaryLocationLineHash"],
                    "additionalProperties": {"type": "string", "minLength": 1},
                },
            },
        },
        "location": {
            "type": "object",
            "required": ["physicalLocation"],
            "additionalProperties": False,
            "properties": {
                "physicalLocation": {
                    "type": "object",
                    "required": ["artifactLocation", "region"],
                    "additionalProperties": False,
                    "properties": {
                        "artifactLocation": {
                            "type": "object",
                            "required": ["uri"],
                            "additionalProperties": False,
                            "properties": {
                                # RFC 3986: nothing but these characters, and % only before two hex digits.
                                "uri": {
                                    "type": "string",
                                    "pattern": r"^([A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+$",
                                },
                                "uriBaseId": {"type": "string"},
                            },
                        },
                        "region": {
                            "type": "object",
                            "required": ["startLine"],
                            "additionalProperties": False,
                            "properties": dict.fromkeys(("startLine", "startColumn", "endLine", "endColumn"), POSITIVE),
                        },
                    },
                }
            },
        },
    },
}


def log_of(interlock: Interlock, *paths: str, folder: Path | None = None) -> dict[str, Any]:
    """What a check writes, which holds against the standard."""
    ran = interlock("check", "--format", "sarif", *paths, folder=folder)
    document: dict[str, Any] = json.loads(ran.out)
    Draft202012Validator(SCHEMA).validate(document)
    (run,) = document["runs"]
    assert isinstance(run, dict)
    return run


def places(run: dict[str, Any]) -> list[dict[str, Any]]:
    """Where the results are."""
    return [result["locations"][0]["physicalLocation"]["artifactLocation"] for result in run["results"]]


def fingerprints(run: dict[str, Any]) -> list[str]:
    """What the results are told apart by."""
    return [result["partialFingerprints"]["primaryLocationLineHash"] for result in run["results"]]


def test_the_schema_closes() -> None:
    """It refuses what it should refuse."""
    Draft202012Validator.check_schema(SCHEMA)
    for document in (
        {},
        {"version": "2.1.0"},
        {"version": "2.0.0", "runs": []},
        {"version": "2.1.0", "runs": [{"results": []}]},
    ):
        with pytest.raises(ValidationError):
            Draft202012Validator(SCHEMA).validate(document)
    uri = Draft202012Validator({"$ref": "#/$defs/location", "$defs": SCHEMA["$defs"]})
    for wrong in ("a b.py", "ż.py", "100%.py", "a\\b.py", ""):
        place = {"physicalLocation": {"artifactLocation": {"uri": wrong}, "region": {"startLine": 1}}}
        assert not uri.is_valid(place), wrong


def test_every_result_names_a_rule_that_is_told(interlock_in: Interlock, git: Git) -> None:
    git.write({"bad.py": BAD})
    run = log_of(interlock_in, folder=git.root)
    rules = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    (result,) = run["results"]
    assert result["ruleId"] == "identity/coarse-clock"
    assert "What to write instead" in rules[result["ruleId"]]["help"]["text"]
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 4, "startColumn": 16, "endLine": 4}
    assert run["invocations"] == [{"executionSuccessful": True, "toolExecutionNotifications": []}]


def test_nothing_found_is_a_whole_log(interlock_in: Interlock, git: Git) -> None:
    git.write({"clean.py": "x = 1\n"})
    assert log_of(interlock_in, folder=git.root)["results"] == []


def test_what_was_not_read_is_a_notification_and_no_success(interlock_in: Interlock, git: Git) -> None:
    git.write({"nul.py": b"\0"})
    (invocation,) = log_of(interlock_in, folder=git.root)["invocations"]
    assert not invocation["executionSuccessful"]
    (note,) = invocation["toolExecutionNotifications"]
    assert "nul.py" in note["message"]["text"]


@pytest.mark.parametrize("name", ["a b.py", "ż.py", "100%.py", "q?.py", "h#.py", "back\\slash.py", "a:b.py", "shop/[1].py"])
def test_paths_are_relative_references_that_lead_back_to_the_file(interlock_in: Interlock, git: Git, name: str) -> None:
    git.write({name: BAD})
    (place,) = places(log_of(interlock_in, folder=git.root))
    assert place["uriBaseId"] == "%SRCROOT%"
    parts = urlsplit(place["uri"])
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")
    assert unquote(parts.path) == name


def test_a_name_that_is_not_utf_8_keeps_its_bytes(interlock_in: Interlock, git: Git) -> None:
    git.write({os.fsdecode(b"b\xff.py"): BAD})
    (place,) = places(log_of(interlock_in, folder=git.root))
    assert place["uri"] == "b%FF.py"


def test_a_file_outside_the_folder_is_a_file_uri(interlock_in: Interlock, git: Git, tmp_path: Path) -> None:
    git.write({"bad.py": BAD})
    (tmp_path / "else where").mkdir()
    (place,) = places(log_of(interlock_in, str(git.root / "bad.py"), folder=tmp_path / "else where"))
    assert place == {"uri": (git.root / "bad.py").as_uri()}


def test_fingerprints_stay_where_lines_above_change(interlock_in: Interlock, git: Git) -> None:
    git.write({"bad.py": BAD})
    before = fingerprints(log_of(interlock_in, folder=git.root))
    git.write({"bad.py": "# A long story.\n" * 9 + BAD.replace("'{user.id}-", "'{user.id}-")})
    assert fingerprints(log_of(interlock_in, folder=git.root)) == before
    git.write({"bad.py": BAD.replace("user.id", "user.name")})
    assert fingerprints(log_of(interlock_in, folder=git.root)) != before


def test_equal_lines_have_fingerprints_of_their_own(interlock_in: Interlock, git: Git) -> None:
    line = "    order_id = f'{user.id}-{int(time.time())}'\n"
    git.write({"bad.py": BAD.replace(line, line * 3), "copy.py": BAD, "method.py": BAD.replace("new_order", "other_order")})
    found = fingerprints(log_of(interlock_in, folder=git.root))
    assert len(found) == len(set(found)) == 5
