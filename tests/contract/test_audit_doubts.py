"""What an audit of tests cannot know for itself: altered tests, runs that say nothing, coverage."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interlock.core.evidence import read, write
from interlock.gate.test_audit.running import flaw, noticed, run
from tests.gate import answer_to

if TYPE_CHECKING:
    from tests.conftest import Git, Interlock

PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
ID = "tests/test_pay.py::test_charges"
SETTINGS = f"""
[[feature]]
name = "payments"
tier = 2
paths = ["shop/**"]

[[must_test]]
id = "{ID}"
guards = "what is charged is what was asked for"
feature = "payments"

[tests]
command = {json.dumps(PYTEST)}
"""
PAY = "def charge(cents):\n    return cents\n"
TEST = "from shop.pay import charge\n\n\ndef test_charges():\n    assert charge(5) == 5\n"
BLIND = TEST.replace("assert charge(5) == 5", "assert charge(5)")
FREE = "def charge(cents):\n    return cents + 1\n"
PATCHED = "import shop.pay\n\nshop.pay.charge = lambda cents: cents\n"
# What is asked of pytest here needs none of the plugins that happen to be installed, and they take long to load.
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
Files = dict[str, "str | bytes | None"]


def changed(git: Git, head: Files, base: Files | None = None, message: str = "a change") -> None:
    """A project whose test is good, and a change to it."""
    ignored = ".interlock/\n__pycache__/\n"
    files: Files = {"interlock.toml": SETTINGS, "conftest.py": "", ".gitignore": ignored, "shop/__init__.py": ""}
    git.commit({**files, "shop/pay.py": PAY, "tests/test_pay.py": TEST, **(base or {})})
    git.branch("change")
    git.commit(head)
    git("commit", "--quiet", "--amend", f"--message={message}")


def audited(interlock_in: Interlock, git: Git, *words: str) -> dict[str, Any]:
    ran = interlock_in.under(**ALONE)("audit", "--tests", "--format", "json", *words, folder=git.root)
    assert ran.out, ran.err
    told: dict[str, Any] = json.loads(ran.out)
    assert ran.code == {"pass": 0, "fail": 1, "unknown": 3}[told["verdict"]]
    return told


asked = partial(answer_to, "tests")


class TestTestsThatTheChangeAlters:
    @pytest.mark.parametrize(
        "head",
        [
            pytest.param({"shop/pay.py": FREE, "tests/test_pay.py": BLIND}, id="the test itself"),
            pytest.param({"shop/pay.py": FREE, "tests/conftest.py": PATCHED}, id="a conftest.py that is new"),
            pytest.param({"shop/pay.py": FREE, "conftest.py": PATCHED}, id="a conftest.py that was there"),
            pytest.param(
                {"shop/pay.py": FREE, "kind.py": PATCHED, "pytest.ini": "[pytest]\naddopts = -p kind\npythonpath = .\n"},
                id="the settings of pytest",
            ),
            pytest.param(
                {
                    "shop/pay.py": FREE,
                    "tests/kind.py": PATCHED,
                    "tests/pytest.ini": "[pytest]\naddopts = -p kind\npythonpath = . ..\n",
                },
                id="settings of pytest that are nearer",
            ),
            pytest.param({"shop/pay.py": FREE, "tests/same.py": "def same(a, b):\n    assert a\n"}, id="what the test imports"),
        ],
    )
    def test_a_test_that_no_longer_notices_needs_a_person(self, interlock_in: Interlock, git: Git, head: Files) -> None:
        same = {"tests/same.py": "def same(a, b):\n    assert a == b\n", "tests/__init__.py": ""}
        helped = TEST.replace("assert charge(5) == 5", "same(charge(5), 5)")
        base: Files = {**same, "tests/test_pay.py": f"from tests.same import same\n{helped}"} if "tests/same.py" in head else {}
        changed(git, head, base)
        told = audited(interlock_in, git)
        assert (told["verdict"], told["missing"]) == ("unknown", {}), told
        (line,) = told["doubts"]
        assert line.startswith(f"{ID}: it fails, as it was before the change altered ")
        found = asked(interlock_in, git)
        assert (found["verdict"], found["evidence"][0]) == ("unknown", line)

    def test_a_link_in_its_place_is_no_test_and_nothing_is_written_through_it(
        self, interlock_in: Interlock, git: Git, tmp_path: Path
    ) -> None:
        changed(git, {"shop/pay.py": FREE})
        for place, where in (("tests/test_pay.py", "kind.py"), ("tests/conftest.py", "kept.py")):
            (tmp_path / where).write_text("def test_charges(): ...\n")
            (git.root / place).unlink(missing_ok=True)
            (git.root / place).symlink_to(tmp_path / where)
        git.commit()
        assert audited(interlock_in, git)["missing"].keys() == {ID}
        assert {(tmp_path / where).read_text() for where in ("kind.py", "kept.py")} == {"def test_charges(): ...\n"}
        assert asked(interlock_in, git)["answer"] == "1 test that must exist is gone"

    @pytest.mark.parametrize("name", ["pytest.py", "pluggy/__init__.py"])
    def test_what_takes_the_place_of_pytest_needs_a_person(self, interlock_in: Interlock, git: Git, name: str) -> None:
        changed(git, {"shop/pay.py": FREE, name: 'print("1 passed in 0.01s")\nraise SystemExit\n'})
        told = audited(interlock_in, git)
        assert (told["verdict"], told["missing"]) == ("unknown", {}), told
        assert told["doubts"] == [f"{name} is imported where pytest means another module: a person has to agree"]

    def test_tests_that_fail_on_a_comment_notice_nothing(self, interlock_in: Interlock, git: Git) -> None:
        header = '{"Idempotency-Key": f"charge:{payment}"}'
        sent = f'requests.post("https://api.pay.example/charges", headers={header}, timeout=5).raise_for_status()'
        pay = f"import requests\n\n\n{PAY}\n\ndef send(payment):\n    {sent}\n"
        text = f"import pathlib\n{TEST}    assert len(pathlib.Path('shop/pay.py').read_text()) == {len(pay)}\n"
        changed(git, {"shop/pay.py": pay, "tests/test_pay.py": text})
        told = audited(interlock_in, git)
        assert all(one["noticed"] for one in told["planted"])
        assert (bool(told["planted"]), told["verdict"]) == (True, "unknown")
        assert told["doubts"][0].startswith("the tests do not pass with a comment added to shop/pay.py")

    def test_one_that_passes_as_it_was_is_told_and_counts(self, interlock_in: Interlock, git: Git) -> None:
        changed(git, {"shop/pay.py": PAY + "\n", "tests/test_pay.py": TEST + "    assert charge(6) == 6\n"})
        assert audited(interlock_in, git)["verdict"] == "pass"
        found = asked(interlock_in, git)
        assert (found["verdict"], found["evidence"]) == (
            "pass",
            ["the change alters tests/test_pay.py; as they were before, 1 test passed on it"],
        )

    def test_an_audit_that_has_not_tried_it_does_not_count(self, interlock_in: Interlock, git: Git) -> None:
        changed(git, {"shop/pay.py": PAY + "\n", "tests/test_pay.py": TEST + "\n"})
        audited(interlock_in, git)
        (path,) = (git.root / ".interlock" / "evidence" / "tests").glob("*.json")
        whole = read(path)
        path.unlink()
        write(replace(whole, found={**whole.found, "before": None}), git.root)
        found = asked(interlock_in, git)
        assert found["verdict"] == "unknown"
        assert "it did not run the tests as they were before the change altered tests/test_pay.py" in found["evidence"][0]

    @pytest.mark.parametrize(
        "head",
        [
            pytest.param({"shop/pay.py": PAY + "\n", "tests/test_other.py": TEST}, id="other tests"),
            pytest.param({"shop/pay.py": PAY + "\n"}, id="none"),
        ],
    )
    def test_what_does_not_bear_on_them_is_not_run_again(self, interlock_in: Interlock, git: Git, head: Files) -> None:
        changed(git, head)
        told = audited(interlock_in, git)
        assert (told["verdict"], told["before"]) == ("pass", None)

    @pytest.mark.parametrize("was", ["def test_nothing(): ...\n", "from shop.pay import gone\n\ndef test_nothing(): ...\n"])
    def test_a_test_that_is_new_weakens_nothing(self, interlock_in: Interlock, git: Git, was: str) -> None:
        changed(git, {"shop/pay.py": PAY + "\n", "tests/test_pay.py": TEST}, {"tests/test_pay.py": was})
        told = audited(interlock_in, git)
        assert (told["verdict"], told["before"]["tests"]) == ("pass", {})


class TestCoverageOfWhatAnAssistantWrote:
    MARK = "Mend it\n\nCo-Authored-By: Claude <noreply@anthropic.com>"

    def report(self, folder: Path, lines: int) -> str:
        path = folder / "coverage.json"
        path.write_text(json.dumps({"files": {"shop/pay.py": {"summary": {"covered_lines": lines, "num_statements": 100}}}}))
        return str(path)

    def test_without_a_report_it_is_unknown_with_the_command(self, interlock_in: Interlock, git: Git) -> None:
        changed(git, {"shop/pay.py": PAY + "\n"}, message=self.MARK)
        told = audited(interlock_in, git)
        assert told["verdict"] == "unknown"
        (line,) = told["doubts"]
        assert line.startswith(
            "shop/pay.py: Claude Code wrote it, and which part of it the tests run is not known: coverage run"
        )
        assert asked(interlock_in, git)["verdict"] == "unknown"

    @pytest.mark.parametrize(("lines", "verdict"), [(84, "fail"), (85, "pass")])
    def test_with_one_it_is_held_to_the_least(
        self, interlock_in: Interlock, git: Git, tmp_path: Path, lines: int, verdict: str
    ) -> None:
        changed(git, {"shop/pay.py": PAY + "\n"}, message=self.MARK)
        assert audited(interlock_in, git, "--coverage", self.report(tmp_path, lines))["verdict"] == verdict
        assert asked(interlock_in, git)["verdict"] == verdict

    @pytest.mark.parametrize(
        ("pay", "left_out", "verdict"),
        [
            ("\n\ndef other():  # pragma: no cover\n    return 1\n", [5, 6], "fail"),
            ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import other\n", [4, 5], "pass"),
            ("\n\ndef other(): ...\n", [5], "pass"),
            ("", [1, 2], "pass"),
        ],
    )
    def test_what_it_keeps_out_of_the_report_itself_is_not_run(
        self, interlock_in: Interlock, git: Git, pay: str, left_out: list[int], verdict: str
    ) -> None:
        changed(git, {"shop/pay.py": f"{PAY}{pay}\n"}, message=self.MARK)
        summary = {"covered_lines": 2, "num_statements": 2}
        report = git.root.parent / "coverage.json"
        report.write_text(json.dumps({"files": {"shop/pay.py": {"summary": summary, "excluded_lines": left_out}}}))
        assert audited(interlock_in, git, "--coverage", str(report))["verdict"] == verdict

    def test_of_what_people_wrote_it_is_not_asked(self, interlock_in: Interlock, git: Git) -> None:
        changed(git, {"shop/pay.py": PAY + "\n"})
        assert audited(interlock_in, git)["verdict"] == "pass"

    @pytest.mark.parametrize(
        ("shares", "flaw_"), [({}, "does not know which part"), ({"shop/pay.py": 0.5}, "run 50%, expected 85%")]
    )
    def test_an_audit_that_does_not_know_it_or_asked_for_less_does_not_count(
        self, interlock_in: Interlock, git: Git, tmp_path: Path, shares: dict[str, float], flaw_: str
    ) -> None:
        changed(git, {"shop/pay.py": PAY + "\n"}, message=self.MARK)
        audited(interlock_in, git, "--coverage", self.report(tmp_path, 90))
        (path,) = (git.root / ".interlock" / "evidence" / "tests").glob("*.json")
        whole = read(path)
        path.unlink()
        write(replace(whole, found={**whole.found, "covered": shares}), git.root)
        found = asked(interlock_in, git)
        assert found["verdict"] == "unknown"
        assert flaw_ in found["evidence"][0]


NOT_ASKED_RIGHT = (None, "the tests ended with 4 (it was not asked right, or a test could not be imported)")


class TestWhatARunSays:
    @pytest.mark.parametrize(
        ("pay", "test", "said"),
        [
            (FREE, TEST, (True, "a test fails")),
            (FREE, BLIND, (False, "no test fails")),
            ("1 / 0\n", TEST, (True, "it cannot be imported with it")),
            ("def charge(\n", TEST, (True, "it cannot be imported with it")),
            ("import os\nos._exit(3)\n", TEST, (None, "the tests ended with 3 (an internal error of pytest)")),
            ("import os\nos.kill(os.getpid(), 9)\n", TEST, (None, "the tests ended with -9 (killed by signal 9)")),
            (
                PAY,
                "import no_such_module\n",
                NOT_ASKED_RIGHT,
            ),
            (PAY, "", NOT_ASKED_RIGHT),
        ],
    )
    def test_only_a_test_that_fails_has_noticed_or_code_that_cannot_be_imported(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pay: str, test: str, said: tuple[bool | None, str]
    ) -> None:
        monkeypatch.setenv(*next(iter(ALONE.items())))
        for name, text in {"conftest.py": "", "shop/__init__.py": "", "shop/pay.py": pay, "tests/test_pay.py": test}.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        done = run(PYTEST, [ID], tmp_path, time.monotonic() + 60)
        assert noticed("shop/pay.py", tmp_path, done) == said, done

    @pytest.mark.parametrize(
        ("code", "output"),
        [
            (1, "make: *** [test] Error 1"),
            (2, "!!!!! KeyboardInterrupt !!!!!\nshop/pay.py:1: KeyboardInterrupt\n"),
            (2, "ERROR collecting tests/test_pay.py\nother/shop/pay.py:3: in <module>\n"),
            (5, "no tests ran"),
            (-9, ""),
        ],
    )
    def test_other_ends_say_nothing(self, code: int, output: str) -> None:
        assert noticed("shop/pay.py", Path("/shop"), (code, output))[0] is None

    def test_a_test_that_cannot_be_imported_is_called_so(self) -> None:
        assert flaw((4, "ERROR collecting tests/test_pay.py\nE   ImportError")) == "it cannot be imported"
        assert flaw((4, "ERROR: not found: tests/test_pay.py::test_x")) == "there is no such test"
