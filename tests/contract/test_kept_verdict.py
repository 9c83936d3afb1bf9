"""The gate's verdict on record: in the form of in-toto's Simple Verification Result 0.2, signed, and bound to content."""

# pyright: basic
# (jsonschema ships no types.)

from __future__ import annotations

import hashlib
import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped]  # It ships no types.

from interlock.core.errors import UsageError
from interlock.core.evidence import read
from interlock.core.verdict import Verdict
from interlock.gate.decide import questions
from interlock.gate.question import Answer, Asked
from interlock.gate.records.ground import Ground
from interlock.gate.records.kept import kept
from interlock.gate.records.recalled import Recalled
from interlock.gate.records.signers import Signer, Trust
from tests.documented import disagreements
from tests.machine import needed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Git, Interlock

FEATURES = '[[feature]]\nname = "payments"\ntier = {tier}\npaths = ["shop/**"]\n'
UNKNOWN = b'"verdict": "unknown"'
ACCEPTED = (
    "import time\n\ndef new(user):\n"
    "    order_id = f'{user.id}-{int(time.time())}'  # interlock: ignore[identity/coarse-clock]: daily\n    return order_id\n"
)
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


def forged(git: Git, edit: Callable[[bytes], bytes]) -> None:
    """Puts another verdict in the place of the kept one, under the name that fits it."""
    (path,) = (git.root / ".interlock" / "evidence" / "gate").glob("*.json")
    content = edit(path.read_bytes())
    path.unlink()
    path.with_name(f"{hashlib.sha256(content).hexdigest()}.json").write_bytes(content)


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
    needed("ssh-keygen")
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


def test_a_verdict_that_cannot_be_bound_to_anything_is_told_all_the_same(interlock_in: Interlock, git: Git) -> None:
    changed(git)
    git("checkout", "--quiet", "-B", "change", "main")
    git.commit({"shop/old.py": None})
    ran = interlock_in("gate", "--base", "main", "--keep", folder=git.root)

    assert ran.code == 0
    assert ran.out.splitlines()[-1].startswith("verdict: pass (")
    assert "the verdict is not kept: the change leaves no file behind" in ran.err
    assert not (git.root / ".interlock").exists()


@pytest.mark.parametrize(
    ("words", "code"), [(["--sign", "no-such-key"], 2), (["--keep", "--write", "html=nowhere/page.html"], 3)]
)
def test_no_verdict_is_told_beside_another_exit_code(interlock_in: Interlock, git: Git, words: list[str], code: int) -> None:
    changed(git)
    ran = interlock_in("gate", "--base", "main", *words, folder=git.root)

    assert (ran.code, ran.out) == (code, "")


class TestAnAuditOfThePast:
    """What the gate itself said then answers what nobody can answer any more."""

    @pytest.fixture
    def tagged(self, interlock_in: Interlock, git: Git, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
        """Deploys v1 and v2, with a verdict that was kept in between, and answers with what an audit says of v2."""

        def audit(
            *arguments: str,
            tier: int = 2,
            then: Callable[[], None] = lambda: None,
            late_days: int = 0,
            links: bool = False,
            accepts: bool = False,
        ) -> dict[str, Any]:
            changed(git, tier)
            if accepts:
                git.commit({"shop/pay.py": ACCEPTED})
            if links:
                (git.root / "link").symlink_to("elsewhere")
                git.commit()
            git("tag", "v1", "main")
            head = git("rev-parse", "change")
            said = {"version": 1, "author": "ada", "reviews": [{"by": "bo", "state": "approved", "commit": head}]}
            approvals = git.root.parent / "approvals.json"
            approvals.write_text(json.dumps(said))
            interlock_in("gate", "--base", "main", "--approvals", str(approvals), *arguments, folder=git.root)
            then()
            tagged_at = datetime.now(UTC) + timedelta(days=late_days, seconds=2)
            monkeypatch.setenv("GIT_COMMITTER_DATE", tagged_at.isoformat(timespec="seconds"))
            git("tag", "-a", "-m", "deployed", "v2")
            ran = interlock_in("audit", "--last", "1", "--format", "json", folder=git.root)
            told = json.loads(ran.out)
            assert disagreements("interlock audit --last", told) == []
            page = interlock_in("audit", "--last", "1", folder=git.root)
            assert page.code == ran.code
            word = told["deployments"][0]["said"]["verdict"] if told["deployments"][0]["said"] else "no word"
            assert any(
                line.startswith("the gate did say") and line.endswith(word) for line in map(str.rstrip, page.out.split("\n"))
            )
            return dict(told["deployments"][0])

        return audit

    @staticmethod
    def reviewed(told: dict[str, Any]) -> str:
        return next(f"{asked['verdict']}: {asked['answer']}" for asked in told["questions"] if asked["name"] == "reviewed")

    def test_a_kept_verdict_tells_who_had_approved(self, tagged: Callable[..., dict[str, Any]]) -> None:
        told = tagged("--keep")
        assert (told["said"]["verdict"], told["said"]["trust"], told["said_set_aside"]) == ("pass", "self", [])
        assert self.reviewed(told).startswith("pass: no mark of an assistant; 1 of 1 approvals (bo)")
        assert self.reviewed(told).endswith("(the gate's own verdict of then)")

    def test_without_one_it_stays_unknown(self, tagged: Callable[..., dict[str, Any]]) -> None:
        told = tagged()
        assert told["said"] is None
        assert self.reviewed(told).startswith("unknown")

    def test_one_that_nobody_has_signed_does_not_count_for_tier_1(self, tagged: Callable[..., dict[str, Any]]) -> None:
        told = tagged("--keep", tier=1)
        # A bad answer counts whoever vouches for it: one approval is too few for tier 1.
        assert self.reviewed(told).startswith("fail: ")
        assert told["verdict"] == "fail"

    def test_one_of_other_content_is_no_word_about_this(self, tagged: Callable[..., dict[str, Any]], git: Git) -> None:
        told = tagged("--keep", then=lambda: git.commit({"shop/pay.py": "A = 3\n"}) and None)
        assert (told["said"], told["said_set_aside"]) == (None, [])

    def test_one_from_before_a_file_became_a_program_is_no_word_about_this(
        self, tagged: Callable[..., dict[str, Any]], git: Git
    ) -> None:
        def executable() -> None:
            (git.root / "shop" / "pay.py").chmod(0o755)
            git.commit()

        assert tagged("--keep", then=executable)["said"] is None

    def test_one_about_a_link_is_none_since_it_may_lead_elsewhere(
        self, tagged: Callable[..., dict[str, Any]], git: Git
    ) -> None:
        told = tagged("--keep", links=True)
        assert (told["said"], told["said_set_aside"]) == (None, [])
        kept = statement(git)[0]
        assert (read(kept).found["bare"], read(kept).found["deleted"]) == (["link"], ["shop/old.py"])

    def test_one_that_is_too_old_is_told(self, tagged: Callable[..., dict[str, Any]]) -> None:
        told = tagged("--keep", late_days=40)
        assert told["said"] is None
        assert "it is 40 days old, more than 30" in told["said_set_aside"][0]

    def test_one_by_other_settings_is_told(self, tagged: Callable[..., dict[str, Any]], git: Git) -> None:
        def edit(content: bytes) -> bytes:
            found = json.loads(content)
            found["predicate"]["verifier"]["policies"] = "none"
            return json.dumps(found).encode()

        told = tagged("--keep", then=lambda: forged(git, edit))
        assert told["said"] is None
        assert "it was judged by other settings" in told["said_set_aside"][0]

    def test_a_failure_of_then_is_told_where_nothing_is_known_now(
        self, tagged: Callable[..., dict[str, Any]], git: Git
    ) -> None:
        told = tagged("--keep", then=lambda: forged(git, lambda content: content.replace(UNKNOWN, b'"verdict": "fail"')))
        verdicts = {asked["name"]: asked["verdict"] for asked in told["questions"]}
        assert (verdicts["planted"], verdicts["canary"], told["verdict"]) == ("pass", "fail", "fail")

    @pytest.mark.parametrize(("tier", "other"), [(1, b""), (2, b"other.toml")])
    def test_of_one_that_counts_since_it_is_bad_nothing_good_is_believed(
        self, tagged: Callable[..., dict[str, Any]], git: Git, tier: int, other: bytes
    ) -> None:
        """Nobody has signed it, or other settings made it: then it could be anybody's who wants a pass on record."""

        def edit(content: bytes) -> bytes:
            found = json.loads(content.replace(b"interlock.toml", other or b"interlock.toml"))
            own = found["predicate"]["urn:interlock:evidence:gate:v1"]
            own["verdict"] = "fail"
            for asked in own["found"]["questions"]:
                asked["verdict"] = "pass"
            return json.dumps(found).encode()

        told = tagged("--keep", tier=tier, then=lambda: forged(git, edit))
        assert told["said"]["verdict"] == "fail"
        assert {asked["verdict"] for asked in told["questions"] if asked["name"] not in {"touched", "planted"}} == {"unknown"}

    def test_what_the_two_trees_alone_answer_is_not_believed(self, tagged: Callable[..., dict[str, Any]], git: Git) -> None:
        """It was unknown then as it is now: a verdict that says otherwise did not come from the gate."""
        passed = b'"verdict": "pass"'
        told = tagged("--keep", then=lambda: forged(git, lambda content: content.replace(UNKNOWN, passed)), accepts=True)
        verdicts = {asked["name"]: asked["verdict"] for asked in told["questions"]}
        assert (told["said"]["verdict"], verdicts["canary"], verdicts["planted"]) == ("pass", "pass", "unknown")
        assert told["verdict"] == "unknown"

    @pytest.mark.parametrize("known", [Verdict.FAIL, Verdict.PASS])
    def test_it_changes_nothing_that_is_known_without_it(self, known: Verdict) -> None:
        ground = Ground.recomputed("it", datetime.now(UTC))
        said = Recalled(Verdict.PASS, ground, {"canary": (Verdict.PASS, "yes"), "alerts": (Verdict.FAIL, "no")})
        for name in ("canary", "alerts"):
            asked = Asked(name=name, question=questions()[name], answer=Answer(verdict=known, answer="as it is"))
            assert said.added_to(asked) is asked


@pytest.mark.parametrize("lacks", ["verifier", "timeCreated", "properties"])
def test_the_schema_closes(interlock_in: Interlock, git: Git, lacks: str) -> None:
    changed(git)
    interlock_in("gate", "--base", "main", "--keep", folder=git.root)
    _, found = statement(git)
    del found["predicate"][lacks]
    with pytest.raises(ValidationError):
        Draft202012Validator(SCHEMA).validate(found)
