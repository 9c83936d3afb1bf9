"""Rollbacks rehearsed in an environment that answers over HTTP, signed by the real ssh-keygen, and the gate that asks."""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from interlock.core.evidence import read, write
from interlock.core.verdict import Verdict
from interlock.gate.records.signers import sign
from tests.gate import answer_to
from tests.machine import needed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Git, Interlock, Ran


class Staging:
    """An environment whose version is what a file says; it is well unless the version says otherwise."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.write_text("v2")
        self.asked = 0
        self.image = ""
        staging = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                staging.asked += self.path == "/version"
                told = staging.path.read_text().split("|")
                version = told[staging.asked % len(told)]
                is_bad = self.path == "/health" and "ill" in version
                body = json.dumps({"version": version, **({"image": staging.image} if staging.image else {})}).encode()
                self.send_response(503 if is_bad else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by the server.
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)

    def deploying(self, version: str) -> list[str]:
        """The command that puts a version there."""
        return ["sh", "-c", 'printf %s "$1" > "$0"', str(self.path), version]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def staging(tmp_path: Path) -> Iterator[Staging]:
    there = Staging(tmp_path / "version")
    there.thread.start()
    yield there
    there.server.shutdown()
    there.thread.join()
    there.server.server_close()


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needed("ssh-keygen")
    path = tmp_path_factory.mktemp("key") / "ci"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ci", "-f", str(path)], check=True)
    return path


def settings(staging: Staging, key: Path, *, within_s: float = 10.0, signer_key: str = "") -> str:
    return f"""
[rollback]
covers = ["deploy/**"]
within_s = {within_s}

[[environment]]
name = "staging"
version_url = "{staging.url}/version"
health_url = "{staging.url}/health"

[[signer]]
name = "ci@shop.example"
trust = "ci"
key = "{signer_key or key.with_suffix(".pub").read_text().strip()}"

[[feature]]
name = "payments"
tier = 1
paths = ["shop/**"]
"""


def begun(git: Git, text: str) -> None:
    """A project, and a change to its payments."""
    git.write({"interlock.toml": text, "deploy/run.sh": "echo 1\n", "shop/pay.py": "A = 1\n", ".gitignore": ".interlock/\n"})
    git.commit()
    git("checkout", "--quiet", "-b", "change")
    git.write({"shop/pay.py": "A = 2\n"})
    git.commit()


def rehearsed(interlock: Interlock, git: Git, *words: str) -> Ran:
    return interlock("rehearse", "rollback", "--env", "staging", *words, folder=git.root)


asked = partial(answer_to, "rollback")


def kept(git: Git) -> Path:
    (path,) = (git.root / ".interlock" / "evidence" / "rehearsal").glob("*.json")
    return path


def test_what_was_rolled_back_and_is_well_passes_the_gate_signed(
    interlock_in: Interlock, git: Git, staging: Staging, key: Path
) -> None:
    begun(git, settings(staging, key))
    ran = rehearsed(interlock_in, git, "--sign", str(key), "--", *staging.deploying("v0"), "--then", *staging.deploying("v1"))

    assert (ran.code, ran.out.splitlines()[0].split(" after ")[0]) == (0, "pass: v1 serves again and is well")
    found = asked(interlock_in, git)
    assert found["verdict"] == "pass", found
    assert len(found["evidence"]) == 2
    (ground,) = found["grounds"]
    assert (ground["what"], ground["trust"], ground["by"]) == ("rehearsal in staging", "ci", "ci@shop.example")
    assert git.root / ground["path"] == kept(git)
    made_at, expires_at = (datetime.fromisoformat(ground[key]) for key in ("made_at", "expires_at"))
    assert expires_at - made_at == timedelta(days=30)


@pytest.mark.parametrize(
    ("image", "verdict", "told"),
    [
        (f"shop@sha256:{'a' * 64}", "pass", f"it returned to shop@sha256:{'a' * 64}"),
        ("shop:v1", "unknown", "it returned to shop:v1, which is not pinned by digest"),
    ],
)
def test_the_record_names_what_it_returned_to(  # noqa: PLR0913, PLR0917 - fixtures, and a case.
    interlock_in: Interlock, git: Git, staging: Staging, key: Path, image: str, verdict: str, told: str
) -> None:
    staging.image = image
    begun(git, settings(staging, key))
    assert rehearsed(interlock_in, git, "--sign", str(key), "--", *staging.deploying("v1")).code == 0

    found = asked(interlock_in, git)
    assert read(kept(git)).found["after"]["artifact"] == image
    assert (found["verdict"], told in found["evidence"]) == (verdict, True)


@pytest.mark.parametrize(
    "case",
    [
        ("v2", [], "v2 serves, as before: nothing was rolled back"),
        ("v1-ill", [], "v1-ill serves, and is not well"),
        ("v0", ["--to", "v1"], "v0 serves, expected v1"),
        ("v1|v1|v2", [], ""),  # A part of the instances was never replaced.
    ],
)
def test_what_did_not_come_back_fails(
    interlock_in: Interlock, git: Git, staging: Staging, key: Path, case: tuple[str, list[str], str]
) -> None:
    deployed, words, flaw = case
    begun(git, settings(staging, key, within_s=5))
    ran = rehearsed(interlock_in, git, *words, "--", *staging.deploying(deployed))

    assert ran.code == 1
    assert flaw in ran.out


@pytest.mark.parametrize(("then", "now"), [(0o755, 0o644), (0o644, 0o755)])
def test_whether_a_step_may_be_executed_is_what_it_was(  # noqa: PLR0913, PLR0917 - fixtures, and a case.
    interlock_in: Interlock, git: Git, staging: Staging, key: Path, then: int, now: int
) -> None:
    """A rollback that is rehearsed with `deploy/run.sh` does nothing at night if that is no program any more."""
    begun(git, settings(staging, key))
    (git.root / "deploy" / "run.sh").chmod(then)
    git.commit()
    assert rehearsed(interlock_in, git, "--sign", str(key), "--", *staging.deploying("v1")).code == 0
    assert asked(interlock_in, git)["verdict"] == "pass"
    (git.root / "deploy" / "run.sh").chmod(now)
    git.commit()
    found = asked(interlock_in, git)
    assert found["verdict"] == "unknown"
    assert "whether deploy/run.sh may be executed is not what it was then" in found["evidence"][0]


def test_a_step_that_fails_is_the_last(interlock_in: Interlock, git: Git, staging: Staging, key: Path) -> None:
    begun(git, settings(staging, key))
    ran = rehearsed(interlock_in, git, "--", "false", "--then", *staging.deploying("v1"))

    assert (ran.code, staging.path.read_text()) == (1, "v2")
    assert "`false` ended with 1" in ran.out


def test_a_step_that_hangs_is_ended_with_all_that_it_started(
    interlock_in: Interlock, git: Git, staging: Staging, key: Path, tmp_path: Path
) -> None:
    begun(git, settings(staging, key, within_s=1.5))
    ran = rehearsed(interlock_in, git, "--", "sh", "-c", f"(sleep 4; touch {tmp_path}/late) & sleep 60")

    assert ran.code == 1
    assert "was not done within 1.5 s" in ran.out
    assert not (tmp_path / "late").exists()


@pytest.mark.parametrize("wrong", ["http://127.0.0.1:1", "http://127.0.0.1:1/a b", "nowhere"])
def test_where_no_version_is_told_nothing_is_run_and_nothing_known(
    interlock_in: Interlock, git: Git, staging: Staging, key: Path, wrong: str
) -> None:
    begun(git, settings(staging, key).replace(staging.url, wrong, 1))
    ran = rehearsed(interlock_in, git, "--", *staging.deploying("v1"))

    assert (ran.code, staging.path.read_text()) == (3, "v2")


@pytest.mark.parametrize("signs", [False, True])
def test_what_nobody_whom_the_base_knows_has_signed_is_its_author_s_own_word(
    interlock_in: Interlock, git: Git, staging: Staging, key: Path, *, signs: bool
) -> None:
    """Below tier 1 it counts; but never as CI's, also not if it is signed, with a key that is called as CI's is."""
    begun(git, settings(staging, key).replace("tier = 1", "tier = 2"))
    stranger = git.root.parent / "ci"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ci", "-f", str(stranger)], check=True)
    rehearsed(interlock_in, git, *(["--sign", str(stranger)] if signs else []), "--", *staging.deploying("v1"))
    found = asked(interlock_in, git)

    assert found["verdict"] == "pass"
    (ground,) = found["grounds"]
    assert (ground["trust"], ground["by"]) == ("self", "nobody whom the base knows" if signs else "nobody")
    page = interlock_in("gate", "--base", "main", folder=git.root).out
    assert f"rehearsal in staging, 0 min old, good for 29 days more, vouched for by {ground['by']} (self)" in page


def test_a_key_vouches_for_no_other_signer_whatever_its_name_matches(
    interlock_in: Interlock, git: Git, staging: Staging, key: Path
) -> None:
    """To ssh-keygen a name is a pattern: `*` would lend the trust of the first to the key of the second."""
    stranger = git.root.parent / "ci"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ci", "-f", str(stranger)], check=True)
    more = f'[[signer]]\nname = "*"\ntrust = "ci"\nkey = "{stranger.with_suffix(".pub").read_text().strip()}"\n'
    begun(git, settings(staging, key).replace('trust = "ci"', 'trust = "human"') + more)
    rehearsed(interlock_in, git, "--sign", str(stranger), "--", *staging.deploying("v1"))

    assert [(ground["trust"], ground["by"]) for ground in asked(interlock_in, git)["grounds"]] == [("ci", "*")]


def test_a_person_s_key_makes_it_a_person_s_word(interlock_in: Interlock, git: Git, staging: Staging, key: Path) -> None:
    begun(git, settings(staging, key).replace('trust = "ci"', 'trust = "human"'))
    rehearsed(interlock_in, git, "--sign", str(key), "--", *staging.deploying("v1"))

    assert [ground["trust"] for ground in asked(interlock_in, git)["grounds"]] == ["human"]


def test_what_no_rehearsal_can_be_bound_to_is_told_before_anything_is_run(
    interlock_in: Interlock, git: Git, staging: Staging, key: Path
) -> None:
    begun(git, settings(staging, key))
    git("update-index", "--add", "--cacheinfo", f"160000,{git('rev-parse', 'HEAD')},deploy/lib")
    (git.root / "deploy" / "lib").mkdir()
    ran = rehearsed(interlock_in, git, "--", *staging.deploying("v1"))

    assert (ran.code, ran.out, staging.path.read_text()) == (2, "", "v2")
    assert "deploy/lib is in covers and is no plain file" in ran.err


class TestEvidenceThatDoesNotCount:
    """The gate says of each piece why."""

    @pytest.fixture
    def project(self, interlock_in: Interlock, git: Git, staging: Staging, key: Path) -> Git:
        begun(git, settings(staging, key))
        assert rehearsed(interlock_in, git, "--sign", str(key), "--", *staging.deploying("v1")).code == 0
        return git

    def reason(self, interlock_in: Interlock, git: Git) -> str:
        found = asked(interlock_in, git)
        assert (found["verdict"], found["answer"]) == ("unknown", "no rehearsal that counts is on record")
        assert found["grounds"] == []
        return "; ".join(found["evidence"])

    @pytest.mark.parametrize(
        ("moved", "verdict", "expected"),
        [
            pytest.param(timedelta(seconds=1), Verdict.FAIL, "fail", id="a newer failure, unsigned, is not passed over"),
            pytest.param(timedelta(seconds=-1), Verdict.FAIL, "pass", id="an older failure is made good by a signed pass"),
            pytest.param(timedelta(seconds=1), Verdict.PASS, "pass", id="a newer pass, unsigned, says nothing"),
            pytest.param(timedelta(days=1), Verdict.FAIL, "pass", id="a failure of the future says nothing"),
        ],
    )
    def test_beside_signed_evidence(
        self, interlock_in: Interlock, project: Git, moved: timedelta, verdict: Verdict, expected: str
    ) -> None:
        signed = read(kept(project))
        write(replace(signed, verdict=verdict, made_at=signed.made_at + moved), project.root)

        assert asked(interlock_in, project)["verdict"] == expected

    def test_an_unsigned_failure_of_other_code(self, interlock_in: Interlock, project: Git) -> None:
        signed = read(kept(project))
        others = dict.fromkeys(signed.subjects, "0" * 40)
        write(
            replace(signed, verdict=Verdict.FAIL, subjects=others, made_at=signed.made_at + timedelta(seconds=1)), project.root
        )

        assert asked(interlock_in, project)["verdict"] == "pass"

    def test_none(self, interlock_in: Interlock, project: Git) -> None:
        kept(project).unlink()

        assert not self.reason(interlock_in, project)

    def test_unsigned(self, interlock_in: Interlock, project: Git) -> None:
        kept(project).with_name(f"{kept(project).name}.sig").unlink()

        assert "nobody vouches for it; tier 1 needs ci" in self.reason(interlock_in, project)

    def test_signed_by_a_stranger(self, interlock_in: Interlock, project: Git, tmp_path: Path) -> None:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "stranger")], check=True)
        kept(project).with_name(f"{kept(project).name}.sig").unlink()
        signing = ["ssh-keygen", "-q", "-Y", "sign", "-n", "interlock-evidence", "-f", str(tmp_path / "stranger")]
        subprocess.run([*signing, str(kept(project))], check=True, capture_output=True)

        assert "nobody whom the base knows vouches for it" in self.reason(interlock_in, project)

    def test_signed_by_somebody_whom_the_change_itself_brings_along(
        self, interlock_in: Interlock, project: Git, tmp_path: Path, staging: Staging, key: Path
    ) -> None:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "own")], check=True)
        own = (tmp_path / "own.pub").read_text().strip()
        project.write({"interlock.toml": settings(staging, key, signer_key=own)})
        project.commit()
        kept(project).with_name(f"{kept(project).name}.sig").unlink()
        signing = ["ssh-keygen", "-q", "-Y", "sign", "-n", "interlock-evidence", "-f", str(tmp_path / "own")]
        subprocess.run([*signing, str(kept(project))], check=True, capture_output=True)

        assert "nobody whom the base knows vouches for it" in self.reason(interlock_in, project)

    def test_edited(self, interlock_in: Interlock, project: Git) -> None:
        path = kept(project)
        path.write_bytes(path.read_bytes().replace(b'"v1"', b'"v9"'))

        assert "was edited" in self.reason(interlock_in, project)

    def test_edited_and_renamed(self, interlock_in: Interlock, project: Git) -> None:
        path = kept(project)
        write(replace(read(path), found={}), project.root)
        path.unlink()

        assert "nobody vouches for it" in self.reason(interlock_in, project)

    def test_of_other_code(self, interlock_in: Interlock, project: Git) -> None:
        project.write({"deploy/run.sh": "echo 2\n"})
        project.commit()

        assert "it is about other code: deploy/run.sh changed" in self.reason(interlock_in, project)

    def test_of_less_code(self, interlock_in: Interlock, project: Git) -> None:
        project.write({"deploy/more.sh": "echo 3\n"})
        project.commit()

        assert "it knows nothing of deploy/more.sh" in self.reason(interlock_in, project)

    @pytest.mark.parametrize(("moved", "flaw"), [(timedelta(days=-31), "31 days old"), (timedelta(days=1), "in the future")])
    def test_of_another_time(self, interlock_in: Interlock, project: Git, key: Path, moved: timedelta, flaw: str) -> None:
        path = kept(project)
        other = write(replace(read(path), made_at=datetime.now(UTC) + moved), project.root)
        path.unlink()
        signing = ["ssh-keygen", "-q", "-Y", "sign", "-n", "interlock-evidence", "-f", str(key), str(other)]
        subprocess.run(signing, check=True, capture_output=True)

        assert flaw in self.reason(interlock_in, project)

    def test_that_a_guard_of_another_kind_has_left(self, interlock_in: Interlock, project: Git, key: Path) -> None:
        proof = write(replace(read(kept(project)), kind="prove"), project.root)
        there = kept(project).with_name(proof.name)
        kept(project).unlink()
        proof.rename(there)
        signing = ["ssh-keygen", "-q", "-Y", "sign", "-n", "interlock-evidence", "-f", str(key), str(there)]
        subprocess.run(signing, check=True, capture_output=True)

        assert "is evidence of 'prove'; expected 'rehearsal' in this folder" in self.reason(interlock_in, project)

    def test_that_took_longer_than_the_base_allows(
        self, interlock_in: Interlock, project: Git, staging: Staging, key: Path
    ) -> None:
        project("checkout", "--quiet", "main")
        project.write({"interlock.toml": settings(staging, key, within_s=0.01)})
        project.commit()
        project("checkout", "--quiet", "change")

        assert "s until the old version was back, more than the 0.01 s that are allowed" in self.reason(interlock_in, project)

    def test_from_an_environment_that_the_base_does_not_know(
        self, interlock_in: Interlock, project: Git, staging: Staging, key: Path
    ) -> None:
        project("checkout", "--quiet", "main")
        project.write({"interlock.toml": settings(staging, key).replace('"staging"', '"preproduction"')})
        project.commit()
        project("checkout", "--quiet", "change")

        assert "it was in 'staging', which is no [[environment]] of the base" in self.reason(interlock_in, project)

    def test_from_another_one_of_the_same_name(
        self, interlock_in: Interlock, project: Git, staging: Staging, key: Path
    ) -> None:
        """That of another project, or one that the change itself has put into its settings."""
        project("checkout", "--quiet", "main")
        elsewhere = settings(staging, key).replace(f"{staging.url}/health", "https://staging.shop.example/health")
        project.write({"interlock.toml": elsewhere})
        project.commit()
        project("checkout", "--quiet", "change")

        told = f"it looked at {staging.url}/health, and staging of the base is at https://staging.shop.example/health"
        assert told in self.reason(interlock_in, project)

    def test_that_does_not_tell_where_it_was(self, interlock_in: Interlock, project: Git, key: Path) -> None:
        whole = read(kept(project))
        kept(project).unlink()
        found = {name: fact for name, fact in whole.found.items() if name != "version_url"}
        sign(write(replace(whole, found=found), project.root), key)

        assert "it looked at an address that it does not tell" in self.reason(interlock_in, project)

    def test_and_none_does_where_nothing_is_left_of_what_it_covers(self, interlock_in: Interlock, project: Git) -> None:
        (project.root / "deploy" / "run.sh").unlink()
        project.commit()
        found = asked(interlock_in, project)

        assert found["verdict"] == "unknown"
        assert "the change holds no file in deploy/**" in found["answer"]

    def test_that_survives_a_squash_and_a_rebase_counts(self, interlock_in: Interlock, project: Git) -> None:
        project("checkout", "--quiet", "main")
        project.write({"other.txt": "moved on\n"})
        project.commit()
        project("checkout", "--quiet", "-b", "squashed")
        project("merge", "--squash", "--quiet", "change")
        project("commit", "--quiet", "-m", "all at once")

        assert asked(interlock_in, project)["verdict"] == "pass"


@pytest.mark.parametrize(
    "case",
    [
        (("staging", "stagin"), ["--", "true"], "did you mean 'stagin'?"),
        (('"deploy/**"', '"nowhere/**"'), ["--", "true"], "what would the rehearsal be bound to?"),
        (("[rollback]", "[rolback]"), ["--", "true"], "did you mean 'rollback'?"),
        (('trust = "ci"', 'trust = "c"'), ["--", "true"], ""),
        (("", ""), [], "no command"),
    ],
)
def test_what_is_declared_wrong_is_told(
    interlock_in: Interlock, git: Git, staging: Staging, key: Path, case: tuple[tuple[str, str], list[str], str]
) -> None:
    change, words, message = case
    begun(git, settings(staging, key).replace(*change, 1))
    ran = rehearsed(interlock_in, git, *words)

    assert message in ran.err
    assert ran.code == (2 if message else 1)
