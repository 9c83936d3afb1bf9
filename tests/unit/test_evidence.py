from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from interlock.core.errors import UsageError, WorldError
from interlock.core.evidence import TEST_RESULT, Evidence, Frame, git_blob, read, write
from interlock.core.verdict import Verdict

if TYPE_CHECKING:
    from pathlib import Path

CLAIM = Evidence(
    kind="prove",
    verdict=Verdict.PASS,
    subjects={"shop/queue.py": git_blob(b"queue\n"), "contracts.py": git_blob(b"contracts\n")},
    made_at=datetime(2026, 11, 26, 1, 2, 3, tzinfo=UTC),
    command=("interlock", "prove", "contracts.py"),
    found={"schedules": 141, "bounds": ["all interleavings of 2 workers"]},
)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    assert read(write(CLAIM, tmp_path)) == CLAIM


def test_a_claim_is_written_once_however_often_it_is_made_and_leaves_no_part_behind(tmp_path: Path) -> None:
    paths = {write(CLAIM, tmp_path), write(CLAIM, tmp_path)}
    moved = replace(CLAIM, made_at=CLAIM.made_at.astimezone(timezone(timedelta(hours=2))))

    assert paths == {write(moved, tmp_path)}
    assert set((tmp_path / ".interlock" / "evidence" / "prove").iterdir()) == paths


def test_its_form_is_an_in_toto_statement() -> None:
    statement: dict[str, Any] = json.loads(CLAIM.as_json())

    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "urn:interlock:evidence:prove:v1"
    assert statement["subject"][1] == {"name": "shop/queue.py", "digest": {"gitBlob": git_blob(b"queue\n")}}


FRAME = Frame(TEST_RESULT, {"result": "PASSED", "configuration": [], "passedTests": ["a"]})
FRAMED = replace(CLAIM, kind="tests", frame=FRAME)


def test_a_predicate_of_in_toto_s_frames_ours(tmp_path: Path) -> None:
    statement: dict[str, Any] = json.loads(FRAMED.as_json())

    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert statement["predicate"]["passedTests"] == ["a"]
    assert statement["predicate"]["urn:interlock:evidence:tests:v1"]["verdict"] == "pass"
    assert read(write(FRAMED, tmp_path)) == FRAMED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"test-result/v0.1", b"test-result/v0.2"),
        (b"urn:interlock:evidence:tests:v1", b"urn:other:tests:v1"),
        (b'"passedTests"', b'"urn:interlock:evidence:prove:v1"'),
    ],
)
def test_a_frame_that_we_do_not_know_or_that_holds_nothing_of_ours_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(UsageError, match="no evidence of interlock"):
        Evidence.of_json(FRAMED.as_json().replace(old, new), "claim.json")


def test_what_was_written_before_there_were_frames_is_read(tmp_path: Path) -> None:
    before = replace(CLAIM, kind="tests")
    assert json.loads(before.as_json())["predicateType"] == "urn:interlock:evidence:tests:v1"
    assert read(write(before, tmp_path)) == before


def test_a_name_that_is_no_text_keeps_its_bytes(tmp_path: Path) -> None:
    odd = replace(CLAIM, subjects={os.fsdecode(b"b\xff.py"): git_blob(b"x")})
    assert read(write(odd, tmp_path)) == odd


def test_a_pipe_among_the_evidence_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(UsageError, match="is no plain file"):
        read(tmp_path / "a.json")


def test_an_edited_file_is_no_evidence(tmp_path: Path) -> None:
    path = write(replace(CLAIM, verdict=Verdict.FAIL), tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"fail"', b'"pass"'))

    with pytest.raises(UsageError, match="was edited"):
        read(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Statement/v1", b"Statement/v2"),
        (b"urn:interlock:evidence:prove:v1", b"urn:other:prove:v1"),
        (b'"pass"', b'"passed"'),
        (b"+00:00", b""),
        (b'"gitBlob"', b'"sha1"'),
        (
            b"{",
            b"",
        ),
    ],
)
def test_what_makes_no_claim_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(UsageError, match="no evidence of interlock"):
        Evidence.of_json(CLAIM.as_json().replace(old, new, 1), "claim.json")


def stale(tree: dict[str, bytes]) -> list[str]:
    def contents(path: str) -> bytes | None:
        return tree.get(path)

    return CLAIM.stale_paths(contents)


def test_it_is_bound_to_what_the_files_were() -> None:
    tree = {"shop/queue.py": b"queue\n", "contracts.py": b"contracts\n", "other.py": b""}

    assert stale(tree) == []
    assert stale({**tree, "shop/queue.py": b"queue \n"}) == ["shop/queue.py"]
    assert stale({}) == ["contracts.py", "shop/queue.py"]


def test_nobody_can_vouch_for_a_file_that_never_was() -> None:
    assert replace(CLAIM, subjects={"nowhere.py": ""}).stale_paths(lambda _: None) == ["nowhere.py"]


def test_what_is_nested_beyond_all_measure_is_refused() -> None:
    with pytest.raises(UsageError, match="no evidence of interlock"):
        Evidence.of_json(b"[" * 1_000_000, "claim.json")


def test_where_it_cannot_be_written_the_world_is_blamed(tmp_path: Path) -> None:
    (tmp_path / ".interlock").write_text("no folder")

    with pytest.raises(WorldError, match="the evidence cannot be kept"):
        write(CLAIM, tmp_path)


def test_git_names_a_content_as_we_do(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"caf\xc3\xa9\r\n\0")
    told = subprocess.run(
        ["git", "hash-object", "--no-filters", str(tmp_path / "f")], capture_output=True, check=True, text=True
    )

    assert told.stdout.strip() == git_blob(b"caf\xc3\xa9\r\n\0")
