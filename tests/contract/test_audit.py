"""Audits: whether the tests of a change would notice a planted hazard, and what the gate would have said of the past."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from interlock.core.evidence import read, write
from interlock.gate.records.signers import sign
from tests.documented import disagreements
from tests.gate import answer_to

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Git, Interlock, Ran

PAY = """
import requests


def charge(payment):
    requests.post(
        "https://api.pay.example/charges",
        json={"amount": payment["amount_minor"]},
        headers={"Idempotency-Key": f"charge:{payment['id']}"},
        timeout=5,
    ).raise_for_status()
"""
# It looks at the amount, as whoever wrote the code would.
WEAK = """
from unittest import mock
from shop import pay


def test_charges():
    with mock.patch.object(pay.requests, "post") as post:
        pay.charge({"id": "p1", "amount_minor": 5})
    assert post.call_args.kwargs["json"] == {"amount": 5}
"""
# It looks at what people are afraid of.
STRONG = (
    WEAK
    + """

def test_the_key_names_the_payment_and_nothing_else():
    keys = []
    with mock.patch.object(pay.requests, "post") as post:
        for _ in range(2):
            pay.charge({"id": "p1", "amount_minor": 5})
            keys.append(post.call_args.kwargs["headers"]["Idempotency-Key"])
    assert keys == ["charge:p1", "charge:p1"]
"""
)

PARAMETRISED = """
import pytest


@pytest.mark.parametrize("number", [1, 2])
def test_charges(number):"""


def settings(*ids: str, key: str = "") -> str:
    musts = "".join(f'[[must_test]]\nid = "{name}"\nguards = "one payment has one key"\nfeature = "payments"\n' for name in ids)
    signer = f'[[signer]]\nname = "ci@shop.example"\ntrust = "ci"\nkey = "{key}"\n' if key else ""
    command = json.dumps([sys.executable, "-m", "pytest", "-q", "-p", "no:randomly"])
    feature = '[[feature]]\nname = "payments"\ntier = 1\npaths = ["shop/**"]\n'
    return f"{feature}{musts}{signer}[tests]\ncommand = {command}\nwithin_s = 100\n"


def begun(git: Git, text: str, tests: str) -> None:
    """A project, and a change that writes the charging of payments and its tests."""
    ignored = ".interlock/\n__pycache__/\n.pytest_cache/\n"
    git.write({"interlock.toml": text, "shop/__init__.py": "", ".gitignore": ignored, "conftest.py": ""})
    git.commit()
    git("checkout", "--quiet", "-b", "change")
    git.write({"shop/pay.py": PAY, "tests/test_pay.py": tests})
    git.commit()


def audited(interlock_in: Interlock, git: Git, *words: str) -> tuple[Ran, dict[str, Any]]:
    ran = interlock_in("audit", "--tests", "--format", "json", *words, folder=git.root)
    assert ran.out, ran.err
    told: dict[str, Any] = json.loads(ran.out)
    assert disagreements("interlock audit --tests", told) == []
    return ran, told


asked = partial(answer_to, "tests")


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "ci"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def stated_of(git: Git) -> dict[str, Any]:
    """The evidence, as whoever knows in-toto alone reads it."""
    (path,) = (git.root / ".interlock" / "evidence" / "tests").glob("*.json")
    statement: dict[str, Any] = json.loads(path.read_bytes())
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    return dict(statement["predicate"])


def test_tests_that_would_not_notice_are_told_with_what_they_would_not_notice(interlock_in: Interlock, git: Git) -> None:
    begun(git, settings("tests/test_pay.py::test_charges"), WEAK)
    ran, told = audited(interlock_in, git)

    assert (ran.code, told["verdict"]) == (1, "fail")
    stated = stated_of(git)
    unnoticed = [f"{one['hazard']} in {one['at']} is noticed" for one in told["planted"] if not one["noticed"]]
    assert (stated["result"], stated["failedTests"]) == ("FAILED", unnoticed)
    assert "tests/test_pay.py::test_charges" in stated["passedTests"]
    (policy,) = stated["configuration"]
    assert policy["digest"]["gitBlob"] == git("rev-parse", "main:interlock.toml")
    survivors = {planted["hazard"] for planted in told["planted"] if not planted["noticed"]}
    assert {"identity/coarse-clock", "identity/random-per-attempt"} <= survivors
    assert (git.root / "shop" / "pay.py").read_text() == PAY


def test_tests_that_notice_are_counted_by_the_gate_signed(interlock_in: Interlock, git: Git, key: Path) -> None:
    public = key.with_suffix(".pub").read_text().strip()
    begun(git, settings("tests/test_pay.py::test_the_key_names_the_payment_and_nothing_else", key=public), STRONG)
    assert asked(interlock_in, git)["answer"] == "no audit of the tests that counts is on record"

    ran, told = audited(interlock_in, git, "--sign", str(key))
    identity = [planted for planted in told["planted"] if planted["hazard"].startswith("identity/")]
    assert identity
    assert all(planted["noticed"] for planted in identity), told
    assert asked(interlock_in, git)["verdict"] == told["verdict"]
    assert ran.code == {"pass": 0, "fail": 1}[told["verdict"]]

    (path,) = (git.root / ".interlock" / "evidence" / "tests").glob("*.json")
    whole = read(path)
    path.unlink()
    less = write(replace(whole, found={**whole.found, "planted": whole.found["planted"][1:]}), git.root)
    sign(less, key)
    first = whole.found["planted"][0]
    assert any(f"it did not plant {first['hazard']} in {first['at']}" in line for line in asked(interlock_in, git)["evidence"])

    git.write({"tests/test_pay.py": WEAK})
    git.commit()
    assert any("it is about other code: tests/test_pay.py" in line for line in asked(interlock_in, git)["evidence"])

    git("rm", "--quiet", "tests/test_pay.py")
    git("commit", "--quiet", "-m", "fewer tests")
    found = asked(interlock_in, git)
    assert (found["verdict"], found["answer"]) == ("fail", "1 test that must exist is gone")


@pytest.mark.parametrize(
    ("name", "tests", "why"),
    [
        ("test_charges", WEAK.replace("== {", "!= {"), "it fails"),
        ("test_chages", WEAK, "there is no such test"),
        ("test_charges", WEAK.replace("def test", "import pytest\n\n\n@pytest.mark.skip\ndef test"), "it is skipped"),
        ("test_charges", WEAK.replace("def test", "import pytest\n\n\n@pytest.mark.xfail\ndef test"), "it is skipped"),
    ],
)
def test_a_test_that_does_not_pass_guards_nothing(interlock_in: Interlock, git: Git, name: str, tests: str, why: str) -> None:
    begun(git, settings(f"tests/test_pay.py::{name}"), tests)
    ran, told = audited(interlock_in, git)

    assert ran.code == 1
    assert told["missing"] == {f"tests/test_pay.py::{name}": f"one payment has one key: {why}"}


@pytest.mark.parametrize(
    ("loudness", "said"),
    [
        ("FORCE_COLOR", {}),
        ("-qq", {"tests/test_pay.py::test_charges": "one payment has one key: it ends well and does not say"}),
    ],
)
def test_a_parametrised_test_passes_in_colours_and_a_silent_one_is_not_called_skipped(
    interlock_in: Interlock, git: Git, loudness: str, said: dict[str, str]
) -> None:
    text = settings("tests/test_pay.py::test_charges").replace('"-q"', '"-qq"' if loudness == "-qq" else '"-q"')
    begun(git, text, WEAK.replace("def test_charges():", PARAMETRISED))
    _, told = audited(interlock_in.under(FORCE_COLOR="1"), git)

    assert told["missing"].keys() == said.keys()
    assert all(told["missing"][name].startswith(why) for name, why in said.items())


@pytest.mark.parametrize(("command", "code", "message"), [('["no-such"]', 3, "cannot be started"), ("[]", 2, "is empty")])
def test_a_command_that_is_not_there_is_told(interlock_in: Interlock, git: Git, command: str, code: int, message: str) -> None:
    text = re.sub(r"command = .*", f"command = {command}", settings("tests/test_pay.py::test_charges"))
    begun(git, text, WEAK)
    ran = interlock_in("audit", "--tests", folder=git.root)

    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err


def test_what_hangs_is_unknown_and_ended(interlock_in: Interlock, git: Git) -> None:
    text = settings("tests/test_pay.py::test_charges").replace("within_s = 100", "within_s = 3")
    begun(git, text, WEAK.replace("def test_charges():", "def test_charges():\n    import time\n    time.sleep(600)"))
    ran, told = audited(interlock_in, git)

    assert (ran.code, told["reason"]) == (3, "not finished within 3 s")


def test_without_a_list_nothing_is_known(interlock_in: Interlock, git: Git) -> None:
    begun(git, settings(), WEAK)

    assert audited(interlock_in, git)[0].code == 3
    assert asked(interlock_in, git)["answer"] == "no [[must_test]] is declared at the base for payments"


def test_a_file_of_which_the_tests_run_too_little_is_told(interlock_in: Interlock, git: Git, tmp_path: Path) -> None:
    begun(git, settings(), STRONG)
    report = tmp_path / "coverage.json"
    report.write_text(json.dumps({"files": {"shop/pay.py": {"summary": {"covered_lines": 3, "num_statements": 4}}}}))
    _, told = audited(interlock_in, git, "--coverage", str(report))
    assert told["uncovered"] == ["shop/pay.py: the tests run 75% of it, expected 85%"]

    report.write_text(json.dumps({"files": {}}))
    _, told = audited(interlock_in, git, "--coverage", str(report))
    assert told["uncovered"] == ["shop/pay.py: the tests run 0% of it, expected 85%"]

    report.write_text("[]")
    assert interlock_in("audit", "--tests", "--coverage", str(report), folder=git.root).code == 2


class TestThePast:
    """Three tags, each judged against the one before it, with what was known then."""

    def tagged(self, git: Git) -> None:
        features = '[[feature]]\nname = "payments"\ntier = 1\npaths = ["shop/pay.py"]\n'
        git.write({"interlock.toml": features, "shop/hours.py": "A = 1\n", "shop/pay.py": "A = 1\n"})
        git.commit()
        git("tag", "v1")
        git.write({"shop/hours.py": "A = 2\n"})
        git.commit()
        git("tag", "v2")
        bad = "import time\n\ndef order_id(user):\n    order_id = f'{user}-{int(time.time())}'\n    return order_id\n"
        git.write({"shop/pay.py": bad})
        git.commit()
        git("tag", "v3")
        git("tag", "other")

    def test_each_deployment_gets_its_column(self, interlock_in: Interlock, git: Git) -> None:
        self.tagged(git)
        ran = interlock_in("audit", "--last", "3", "--format", "json", folder=git.root)
        assert disagreements("interlock audit --last", json.loads(ran.out)) == []
        told = json.loads(ran.out)["deployments"]

        assert ran.code == 1
        assert [one["deployment"] for one in told] == ["v3", "v2"]
        verdicts = {asked["question"]: asked["verdict"] for asked in told[0]["questions"]}
        assert verdicts["Does it plant a known hazard?"] == "fail"
        assert verdicts["Was the rollback rehearsed?"] == "unknown"
        assert told[1]["verdict"] == "pass"

    @pytest.mark.parametrize("broken", ["[feature", "[chekc]\n", '[[feature]]\nname = "payments"\n'])
    def test_settings_of_then_that_cannot_be_read_are_unknown_for_that_deployment(
        self, interlock_in: Interlock, git: Git, broken: str
    ) -> None:
        git.commit({"interlock.toml": broken})
        git("tag", "v0")
        self.tagged(git)
        ran = interlock_in("audit", "--last", "3", "--format", "json", folder=git.root)
        told = json.loads(ran.out)["deployments"]

        assert ran.code == 1
        assert [(one["deployment"], one["verdict"]) for one in told][::2] == [("v3", "fail"), ("v1", "unknown")]
        assert all(asked["verdict"] == "unknown" for asked in told[2]["questions"])
        assert told[2]["questions"][0]["answer"].startswith("the settings of v0 cannot be read: interlock.toml")

    def test_the_table_has_a_row_for_each_question(self, interlock_in: Interlock, git: Git) -> None:
        self.tagged(git)
        lines = interlock_in("audit", "--last", "1", folder=git.root).out.splitlines()

        assert lines[0].split() == ["v3"]
        assert len(lines) == 12
        assert lines[-2].split()[-1] == "fail"
        assert lines[-1].split()[-2:] == ["no", "word"]

    @pytest.mark.parametrize(("last", "message"), [("0", "expected 1 or more"), ("3", "expected two or more")])
    def test_what_cannot_be_audited_is_told(self, interlock_in: Interlock, git: Git, last: str, message: str) -> None:
        git.write({"a": "1"})
        git.commit()
        git("tag", "v1")
        ran = interlock_in("audit", "--last", last, folder=git.root)

        assert (ran.code, message in ran.err) == (2, True)
