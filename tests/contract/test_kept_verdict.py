"""The gate's verdict on record: in the form of in-toto's Simple Verification Result 0.2, signed, and bound to content."""

# pyright: basic
# (jsonschema ships no types.)

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped]  # It ships no types.

from interlock.core.errors import UsageError
from interlock.core.evidence import read
from interlock.core.verdict import Verdict
from interlock.gate.records.kept import kept
from interlock.gate.records.signers import Signer, Trust

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Git, Interlock

FEATURES = '[[feature]]\nname = "payments"\ntier = {tier}\npaths = ["shop/**"]\n'
BLOB = {"type": "object", "required": ["gitBlob"], "properties": {"gitBlob": {"pattern": "^[0-9a-f]{40}$"}}}
# By spec/v1/statement.md and spec/predicates/svr.md: what must be there, and of which form.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["_type", "subject", "predicateType", "predicate"],
    "properties": {
        "_type": {"const": "https://in-toto.io/Statement/v1"},
        "subject": {
            "type": "array",
            "minItems": 1,
            "items": {"required": ["name", "digest"], "properties": {"name": {"minLength": 1}, "digest": BLOB}},
        },
        "predicateType": {"const": "https://in-toto.io/attestation/svr/v0.2"},
        "predicate": {
            "type": "object",
            "required": ["verifier", "timeCreated", "properties"],
            "properties": {
                "verifier": {
                    "required": ["id", "policies"],
                    "properties": {
                        "id": {"type": "string", "pattern": "^[a-z]+:"},
                        "policies": {"type": "array", "items": {"required": ["digest"], "properties": {"digest": BLOB}}},
                    },
                },
                "timeCreated": {"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|\+00:00)$"},
                "properties": {"type": "array", "uniqueItems": True, "items": {"type": "string", "pattern": "^[A-Z0-9_]+$"}},
            },
            # Extension fields go by a URI.
            "patternProperties": {"^[a-z]+:": {}, "^(verifier|timeCreated|properties)$": {}},
            "additionalProperties": False,
        },
    },
}


def changed(git: Git, tier: int = 2) -> None:
    git.commit({"interlock.toml": FEATURES.format(tier=tier), "shop/pay.py": "A = 1\n", "shop/old.py": "B = 1\n"})
    git.branch("change")
    git.commit({"shop/pay.py": "A = 2\n", "shop/old.py": None})


def statement(git: Git) -> tuple[Path, dict[str, Any]]:
    (path,) = (git.root / ".interlock" / "evidence" / "gate").glob("*.json")
    found: dict[str, Any] = json.loads(path.read_bytes())
    Draft202012Validator(SCHEMA).validate(found)
    return path, found


def test_what_passes_is_a_property_and_the_gate_is_one_where_all_of_it_does(interlock_in: Interlock, git: Git) -> None:
    changed(git)
    assert interlock_in("gate", "--base", "main", "--keep", folder=git.root).code == 0
    path, found = statement(git)

    assert found["subject"] == [{"name": "shop/pay.py", "digest": {"gitBlob": git("rev-parse", "change:shop/pay.py")}}]
    assert found["predicate"]["properties"] == ["INTERLOCK_GATE", "INTERLOCK_TOUCHED", "INTERLOCK_PLANTED"]
    (policy,) = found["predicate"]["verifier"]["policies"]
    assert policy == {"name": "interlock.toml", "digest": {"gitBlob": git("rev-parse", "main:interlock.toml")}}
    assert read(path).found["deleted"] == ["shop/old.py"]


def test_an_unknown_verdict_has_no_property_of_the_gate(interlock_in: Interlock, git: Git) -> None:
    changed(git, tier=1)
    assert interlock_in("gate", "--base", "main", "--keep", folder=git.root).code == 3
    path, found = statement(git)

    assert "INTERLOCK_GATE" not in found["predicate"]["properties"]
    assert "INTERLOCK_ROLLBACK" not in found["predicate"]["properties"]
    assert read(path).verdict is Verdict.UNKNOWN


def test_a_dry_run_does_not_keep_another_verdict_than_the_real_one(interlock_in: Interlock, git: Git) -> None:
    changed(git, tier=1)
    assert interlock_in("gate", "--base", "main", "--keep", "--dry-run", folder=git.root).code == 0
    assert read(statement(git)[0]).verdict is Verdict.UNKNOWN


def test_it_is_as_good_as_who_signs_it(interlock_in: Interlock, git: Git, tmp_path: Path) -> None:
    if not shutil.which("ssh-keygen"):
        if os.environ.get("CI") == "true":
            pytest.fail("NOT RUN: no ssh-keygen on this machine")
        pytest.skip("NOT RUN: no ssh-keygen on this machine")
    changed(git)
    key = tmp_path / "ci"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    interlock_in("gate", "--base", "main", "--sign", str(key), folder=git.root)
    path, _ = statement(git)
    signers = [Signer(name="ci", trust="ci", key=key.with_suffix(".pub").read_text())]

    assert [(one.trust, one.signer) for one in kept(git.root, "gate", signers)[0]] == [(Trust.CI, "ci")]
    path.with_name(f"{path.name}.sig").unlink()
    assert [one.trust for one in kept(git.root, "gate", signers)[0]] == [Trust.SELF]
    path.write_bytes(path.read_bytes().replace(b"INTERLOCK_PLANTED", b"INTERLOCK_ROLLBACK"))
    with pytest.raises(UsageError, match="was edited"):
        read(path)


def test_it_holds_as_long_as_the_content_is_what_it_was(interlock_in: Interlock, git: Git) -> None:
    changed(git)
    interlock_in("gate", "--base", "main", "--keep", folder=git.root)
    found = read(statement(git)[0])

    assert found.stale_paths({"shop/pay.py": b"A = 2\n"}.get) == []
    assert found.stale_paths({"shop/pay.py": b"A = 3\n"}.get) == ["shop/pay.py"]


def test_a_change_that_only_deletes_has_nothing_to_bind_a_verdict_to(interlock_in: Interlock, git: Git) -> None:
    changed(git)
    git("checkout", "--quiet", "-B", "change", "main")
    git.commit({"shop/old.py": None})
    ran = interlock_in("gate", "--base", "main", "--keep", folder=git.root)

    assert ran.code == 2
    assert "no content that its verdict could be bound to" in ran.err
    assert not (git.root / ".interlock").exists()


@pytest.mark.parametrize("lacks", ["verifier", "timeCreated", "properties"])
def test_the_schema_closes(interlock_in: Interlock, git: Git, lacks: str) -> None:
    changed(git)
    interlock_in("gate", "--base", "main", "--keep", folder=git.root)
    _, found = statement(git)
    del found["predicate"][lacks]
    with pytest.raises(ValidationError):
        Draft202012Validator(SCHEMA).validate(found)
