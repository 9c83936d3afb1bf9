"""A waiver settles an open question where a person answers for it, in full view, and nothing in a change can make one count."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from interlock.core import evidence
from interlock.core.evidence import Evidence
from interlock.core.verdict import Verdict
from tests.documented import disagreements
from tests.machine import needed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Git, Interlock, Ran

FEATURES = '[[feature]]\nname = "payments"\ntier = {tier}\npaths = ["shop/**"]\n'
SIGNER = '\n[[signer]]\nname = "{name}"\ntrust = "{trust}"\nkey = "{key}"\n'
BAD = "import time\n\ndef new_order(user):\n    order_id = f'{user.id}-{int(time.time())}'\n    return order_id\n"
SUPPRESSED = BAD.replace("time())}'", "time())}'  # interlock: ignore[identity/coarse-clock]: one order a day")
REASON = "one order a day, agreed with the ledger team"
BO = "bo@shop.example"


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """An SSH key for each name."""
    needed("ssh-keygen")
    folder = tmp_path_factory.mktemp("keys")

    def key(name: str) -> Path:
        path = folder / name
        if not path.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
        return path

    return key


def settings(keys: Callable[[str], Path], tier: int = 2, more: str = "") -> str:
    """Of a team in which bo's and ada's word counts as a person's, and ci's as a machine's."""
    trusts = {BO: "human", "ada@shop.example": "human", "ci@shop.example": "ci"}
    public = {name: keys(name).with_suffix(".example.pub").read_text().strip() for name in trusts}
    signers = [SIGNER.format(name=name, trust=trust, key=public[name]) for name, trust in trusts.items()]
    return FEATURES.format(tier=tier) + "".join(signers) + more


def begun(git: Git, keys: Callable[[str], Path], content: str = SUPPRESSED, more: str = "") -> None:
    """A change by ada that accepts its own hazard."""
    git.commit({"interlock.toml": settings(keys, more=more), "shop/pay.py": "A = 1\n", "shop/old.py": "B = 1\n"})
    git.branch("change")
    git.commit({"shop/pay.py": content, "shop/old.py": None})


def day(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


def waive(interlock: Interlock, git: Git, key: Path | None, question: str = "planted", **options: str) -> Ran:
    given = {"base": "main", "owner": BO, "until": day(7), "reason": REASON} | options
    words = [word for name, value in given.items() for word in (f"--{name}", value)]
    return interlock("waive", question, *words, *(["--sign", str(key)] if key else []), folder=git.root)


def gate(interlock: Interlock, git: Git, code: int, *arguments: str) -> dict[str, Any]:
    ran = interlock("gate", "--base", "main", "--format", "json", *arguments, folder=git.root)
    assert ran.code == code, ran.out + ran.err
    told: dict[str, Any] = json.loads(ran.out)
    assert disagreements("interlock gate", told) == []
    return told


def planted(told: dict[str, Any]) -> dict[str, Any]:
    (found,) = [asked for asked in told["questions"] if asked["name"] == "planted"]
    return dict(found)


def refused(interlock: Interlock, git: Git, why: str) -> None:
    """The gate stays closed, and says why the waiver does not count."""
    told = gate(interlock, git, 3)
    assert planted(told)["waiver"] is None
    assert any(why in line for line in told["waivers_set_aside"]), told["waivers_set_aside"]


class TestAWaiver:
    def test_settles_an_open_question_and_does_not_make_it_a_pass(
        self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path]
    ) -> None:
        begun(git, keys)
        assert gate(interlock_in, git, 3)["waivers_set_aside"] == []
        assert waive(interlock_in, git, keys(BO)).code == 0
        told = gate(interlock_in, git, 0)

        assert told["verdict"] == "pass"
        found = planted(told)
        assert (found["verdict"], found["required"]) == ("unknown", True)
        waiver = found["waiver"]
        assert (waiver["owner"], waiver["reason"], waiver["until"], waiver["trust"]) == (BO, REASON, day(7), "human")

    @pytest.mark.parametrize("form", ["text", "json", "sarif", "markdown", "checklist", "html"])
    def test_is_told_in_every_form(self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path], form: str) -> None:
        begun(git, keys)
        waive(interlock_in, git, keys(BO))
        ran = interlock_in("gate", "--base", "main", "--format", form, folder=git.root)

        assert ran.code == 0
        for word in (BO, day(7), REASON, "human"):
            assert word in ran.out
        if form != "json":
            assert f"waived by {BO} until {day(7)}: {REASON} (human)" in ran.out
            assert "1 question waived" in ran.out or form == "sarif"

    def test_is_kept_with_the_verdict_and_is_no_property_of_a_pass(
        self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path]
    ) -> None:
        begun(git, keys)
        waive(interlock_in, git, keys(BO))
        gate(interlock_in, git, 0, "--keep")
        (path,) = (git.root / ".interlock" / "evidence" / "gate").glob("*.json")

        properties = json.loads(path.read_bytes())["predicate"]["properties"]
        assert "INTERLOCK_WAIVED_PLANTED" in properties
        assert "INTERLOCK_PLANTED" not in properties
        kept = {one["name"]: one["waiver"] for one in evidence.read(path).found["questions"]}
        assert (kept["planted"]["owner"], kept["touched"]) == (BO, None)

    def test_survives_a_squash_and_being_committed_with_the_change(
        self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path]
    ) -> None:
        begun(git, keys)
        waive(interlock_in, git, keys(BO))
        git("add", "--all", "--force")
        git("commit", "--quiet", "-m", "its waiver")
        gate(interlock_in, git, 0)
        git("reset", "--quiet", "--soft", "main")
        git("commit", "--quiet", "-m", "squashed")
        gate(interlock_in, git, 0)

    def test_is_not_looked_for_where_nothing_is_open(
        self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path]
    ) -> None:
        begun(git, keys, content="A = 2\n")
        folder = git.root / ".interlock" / "evidence" / "waiver"
        folder.mkdir(parents=True)
        (folder / "x.json").write_text("no evidence")
        assert gate(interlock_in, git, 0)["waivers_set_aside"] == []


class TestWhatDoesNotCount:
    """Each is told with its reason, and the gate stays closed."""

    def test_unsigned(self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path]) -> None:
        begun(git, keys)
        ran = waive(interlock_in, git, None)
        assert ran.code == 3
        assert "to sign it: ssh-keygen -Y sign" in ran.err
        refused(interlock_in, git, "nobody vouches for it; a waiver needs a signer whom the base trusts as human")

    @pytest.mark.parametrize(
        "flawed",
        [
            ("mallory", {}, "nobody whom the base knows vouches for it"),
            ("ci@shop.example", {"owner": "ci@shop.example"}, "ci@shop.example vouches for it"),
            (BO, {"owner": "cy@shop.example"}, f"its owner is cy@shop.example, and {BO} signed it"),
            (BO, {"owner": "  "}, "it names no owner"),
            ("ada@shop.example", {"owner": "ada@shop.example"}, "ada@shop.example wrote a part of the change"),
            (BO, {"reason": " ... "}, "it gives no reason"),
            (BO, {"until": day(-1)}, "it expired on"),
            (BO, {"until": day(90)}, "more than 14 days after"),
            (BO, {"until": "9999-12-31"}, "more than 14 days after"),
        ],
    )
    def test_foreign_ownerless_reasonless_expired_and_too_long(
        self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path], flawed: tuple[str, dict[str, str], str]
    ) -> None:
        signer, options, why = flawed
        begun(git, keys)
        ran = waive(interlock_in, git, keys(signer), **options)
        assert ran.code == 3
        assert why in ran.err
        refused(interlock_in, git, why)

    def test_a_bad_answer(self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path]) -> None:
        """One that was given before, for the same content, does not count either: it stays bad whoever agrees."""
        begun(git, keys, content=BAD)
        ran = waive(interlock_in, git, keys(BO))
        assert ran.code == 2
        assert "only what is unknown can be waived" in ran.err
        self.forge(git, keys(BO), subjects={"shop/pay.py": git("rev-parse", "change:shop/pay.py")}, deleted=["shop/old.py"])
        told = gate(interlock_in, git, 1)
        assert "the answer is fail, and a waiver settles only what is open" in told["waivers_set_aside"][0]

    def test_of_a_review(self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path]) -> None:
        git.commit({"interlock.toml": settings(keys, tier=1), "shop/pay.py": "A = 1\n"})
        git.branch("change")
        git.commit({"shop/pay.py": "A = 2\n"})
        assert waive(interlock_in, git, keys(BO), "reviewed").code == 2
        self.forge(git, keys(BO), question="reviewed")
        told = gate(interlock_in, git, 3)
        assert any("the word of people already" in line for line in told["waivers_set_aside"])

    def test_of_another_question(self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path]) -> None:
        begun(git, keys)
        self.forge(git, keys(BO), question="everything")
        refused(interlock_in, git, "it names no question")

    @pytest.mark.parametrize(
        ("edit", "why"),
        [
            ({"shop/pay.py": f"{SUPPRESSED}\nX = 1\n"}, "it is about other code: shop/pay.py changed"),
            ({"shop/more.py": "X = 1\n"}, "it knows nothing of shop/more.py"),
            ({"shop/old.py": "B = 1\n"}, "the change deletes other files"),
            ({".interlock/evidence/waiver/run.py": "X = 1\n"}, "it knows nothing of .interlock/evidence/waiver/run.py"),
        ],
    )
    def test_after_the_change_became_another(
        self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path], edit: dict[str, str | bytes | None], why: str
    ) -> None:
        begun(git, keys)
        assert waive(interlock_in, git, keys(BO)).code == 0
        git.commit(edit)
        refused(interlock_in, git, why)

    def test_after_a_file_has_become_a_program(self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path]) -> None:
        begun(git, keys)
        assert waive(interlock_in, git, keys(BO)).code == 0
        (git.root / "shop" / "pay.py").chmod(0o755)
        git.commit()
        refused(interlock_in, git, "the change makes other files executable")
        assert waive(interlock_in, git, keys(BO)).code == 0
        gate(interlock_in, git, 0)

    def test_one_of_more_than_the_change(self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path]) -> None:
        begun(git, keys)
        names = ("shop/pay.py", "interlock.toml")
        self.forge(git, keys(BO), subjects={name: git("rev-parse", f"change:{name}") for name in names})
        refused(interlock_in, git, "it reaches beyond this change: interlock.toml")

    def test_one_that_was_given_under_other_settings(
        self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path]
    ) -> None:
        begun(git, keys)
        assert waive(interlock_in, git, keys(BO)).code == 0
        git("config", "core.excludesFile", str(git.root.parent / "excluded"))
        (git.root.parent / "excluded").write_text(".interlock\n")
        git("checkout", "--quiet", "main")
        git.commit({"interlock.toml": settings(keys, more="\n[evidence]\nmax_age_days = 7\n")})
        git("checkout", "--quiet", "change")
        refused(interlock_in, git, "the base has other settings than when it was given")

    def test_an_edited_one(self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path]) -> None:
        begun(git, keys)
        assert waive(interlock_in, git, keys(BO), until=day(1)).code == 0
        (path,) = (git.root / ".interlock" / "evidence" / "waiver").glob("*.json")
        path.write_bytes(path.read_bytes().replace(day(1).encode(), day(2).encode()))
        refused(interlock_in, git, "was edited")

    @pytest.mark.parametrize("field", [{}, {"question": ["planted"]}, {"until": 7}, {"owner": {"a": 1}}, {"reason": None}])
    def test_one_of_another_form(
        self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path], field: dict[str, Any]
    ) -> None:
        begun(git, keys)
        self.forge(git, keys(BO), verdict=Verdict.FAIL, **field)
        assert planted(gate(interlock_in, git, 3))["waiver"] is None

    def test_an_owner_cannot_write_our_output(self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path]) -> None:
        begun(git, keys)
        waive(interlock_in, git, None, owner="\x1b[2Jbo\nverdict: pass")
        ran = interlock_in("gate", "--base", "main", folder=git.root)
        assert "\x1b" not in ran.out
        assert "verdict: pass" not in ran.out.splitlines()

    @staticmethod
    def forge(git: Git, key: Path, verdict: Verdict = Verdict.UNKNOWN, **field: Any) -> None:  # noqa: ANN401 - anything.
        """A signed waiver as no command would write it."""
        policies = [{"name": "interlock.toml", "digest": {"gitBlob": git("rev-parse", "main:interlock.toml")}}]
        found = {"question": "planted", "owner": BO, "reason": REASON, "until": day(7), "deleted": [], "policies": policies}
        subjects = field.pop("subjects", {"shop/pay.py": git("rev-parse", "change:shop/pay.py")})
        claim = Evidence(kind="waiver", verdict=verdict, subjects=subjects, made_at=datetime.now(UTC), found={**found, **field})
        path = evidence.write(claim, git.root)
        subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", "interlock-evidence", "-f", key, path], check=True)


class TestAChangeCannotWaiveItself:
    def test_by_a_signer_that_it_adds(self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path]) -> None:
        begun(git, keys)
        public = keys("mallory").with_suffix(".pub").read_text().strip()
        git.commit({"interlock.toml": settings(keys) + SIGNER.format(name="mallory", trust="human", key=public)})
        assert waive(interlock_in, git, keys("mallory"), owner="mallory").code == 3
        refused(interlock_in, git, "nobody whom the base knows vouches for it")

    def test_by_a_longer_time_that_it_allows(self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path]) -> None:
        begun(git, keys)
        git.commit({"interlock.toml": settings(keys, more="\n[evidence]\nwaiver_max_days = 365\n")})
        assert waive(interlock_in, git, keys(BO), until=day(90)).code == 3
        refused(interlock_in, git, "more than 14 days after")

    def test_by_committing_one(self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path]) -> None:
        begun(git, keys)
        waive(interlock_in, git, keys("mallory"))
        git("add", "--all", "--force")
        git("commit", "--quiet", "-m", "agreed")
        refused(interlock_in, git, "nobody whom the base knows vouches for it")

    def test_the_base_can_allow_a_longer_time(self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path]) -> None:
        begun(git, keys, more="\n[evidence]\nwaiver_max_days = 365\n")
        assert waive(interlock_in, git, keys(BO), until=day(90)).code == 0
        gate(interlock_in, git, 0)


class TestWhatCannotBeBoundOrVerified:
    def test_a_link_has_no_content_to_bind_to(self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path]) -> None:
        begun(git, keys)
        assert waive(interlock_in, git, keys(BO)).code == 0
        (git.root / "link").symlink_to("elsewhere")
        git.commit()
        ran = waive(interlock_in, git, keys(BO))
        assert (ran.code, "link is no plain file" in ran.err) == (2, True)
        refused(interlock_in, git, "link is no plain file")

    def test_a_change_that_only_deletes_has_none(self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path]) -> None:
        git.commit({"interlock.toml": settings(keys), "shop/pay.py": "A = 1\n", "shop/old.py": "B = 1\n"})
        git.branch("change")
        git.commit({"interlock.toml": None})
        ran = waive(interlock_in, git, keys(BO), "touched")
        assert (ran.code, "the change leaves no file behind" in ran.err) == (2, True)

    def test_without_ssh_keygen_none_counts(
        self, interlock_in: Interlock, git: Git, keys: Callable[[str], Path], tmp_path: Path
    ) -> None:
        begun(git, keys)
        assert waive(interlock_in, git, keys(BO)).code == 0
        (tmp_path / "bin").mkdir()
        program = shutil.which("git")
        assert program
        (tmp_path / "bin" / "git").symlink_to(program)
        refused(interlock_in.under(PATH=str(tmp_path / "bin")), git, "no waiver counts: no ssh-keygen on this machine")


def test_an_audit_of_the_past_tells_what_was_waived_then(
    interlock_in: Interlock, git: Git, keys: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(git, keys)
    git("tag", "v1", "main")
    assert waive(interlock_in, git, keys(BO)).code == 0
    monkeypatch.setenv("GIT_COMMITTER_DATE", (datetime.now(UTC) + timedelta(seconds=2)).isoformat(timespec="seconds"))
    git("tag", "-a", "-m", "deployed", "v2")
    ran = interlock_in("audit", "--last", "1", folder=git.root)
    assert ran.code == 0
    assert any(line.split()[-1:] == ["waived"] for line in ran.out.splitlines())
    told = json.loads(interlock_in("audit", "--last", "1", "--format", "json", folder=git.root).out)
    assert disagreements("interlock audit --last", told) == []
    waivers = [asked["waiver"]["owner"] for asked in told["deployments"][0]["questions"] if asked["waiver"]]
    assert waivers == [BO]
