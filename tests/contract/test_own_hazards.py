"""A team's own hazards, through the commands: found in the work tree by `check`, and at the base by the gate."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.gate import answer_to
from tests.own_hazard import FILES, FLOAT_REFUND, NAME, PATH

if TYPE_CHECKING:
    from tests.conftest import Git, Interlock

REFUND = "def give_back(bank):\n    return bank.refund(0.5)\n"
CENTS = "def give_back(bank, cents):\n    return bank.refund(cents)\n"
BLIND = FLOAT_REFUND.replace('"refund"', '"refund_nothing"').replace("isinstance(value.value, float)", "value.value == -1")
MAP = '[[feature]]\nname = "payments"\ntier = 3\npaths = ["shop/**"]\n'


planted, touched = partial(answer_to, "planted"), partial(answer_to, "touched")


class TestCheck:
    def test_it_is_found_in_the_work_tree(self, interlock_in: Interlock, git: Git) -> None:
        git.write({**FILES, "shop/refunds.py": REFUND})
        ran = interlock_in("check", folder=git.root)
        assert ran.code == 1, ran.err
        assert ran.out.splitlines()[0] == f"shop/refunds.py:2:12: {NAME} refunds 0.5, a float"
        assert "13 hazards, 1 finding" in ran.err

    def test_it_is_found_in_many_files_by_many_processes(self, interlock_in: Interlock, git: Git) -> None:
        git.write({**FILES, **{f"shop/refunds_{number}.py": REFUND for number in range(200)}})
        ran = interlock_in("check", "--format", "json", folder=git.root)
        assert {finding["hazard"] for finding in json.loads(ran.out)["findings"]} == {NAME}
        assert len(json.loads(ran.out)["findings"]) == 200

    def test_it_is_found_since_a_base_and_told_in_sarif(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({**FILES, "shop/old.py": REFUND})
        git.write({"shop/new.py": REFUND})
        ran = interlock_in("check", "--base", "main", "--format", "sarif", folder=git.root)
        (run,) = json.loads(ran.out)["runs"]
        assert [(one["ruleId"], one["level"]) for one in run["results"]] == [(NAME, "error")]
        assert NAME in [rule["id"] for rule in run["tool"]["driver"]["rules"]]

    def test_a_broken_file_is_unknown_and_told_once(self, interlock_in: Interlock, git: Git) -> None:
        git.write({**FILES, PATH: FLOAT_REFUND.replace("import ast\n", "import asst\n")})
        git.write({"shop/a.py": REFUND, "shop/b.py": REFUND})
        ran = interlock_in("check", "shop", folder=git.root)
        assert ran.code == 3
        (line,) = ran.complaints
        assert line.startswith(f"{PATH}:18: cannot be imported: ModuleNotFoundError: No module named 'asst'")

    def test_a_folder_that_is_not_there_is_a_mistake_in_the_settings(self, interlock_in: Interlock, git: Git) -> None:
        git.write({"interlock.toml": '[hazards]\nfolder = "hazrds"\n', "shop.py": CENTS})
        ran = interlock_in("check", folder=git.root)
        assert (ran.code, "interlock.toml:2: there is no hazard below 'hazrds'" in ran.err) == (2, True)

    def test_they_are_held_to_their_promises(self, interlock_in: Interlock, git: Git) -> None:
        git.write(FILES)
        assert interlock_in("check", "--hazards", folder=git.root).code == 0
        git.write({PATH: FLOAT_REFUND.replace("bank.refund(1.5)", "bank.refund(15)")})
        ran = interlock_in("check", "--hazards", folder=git.root)
        assert ran.code == 1
        assert ran.out.startswith(f"{PATH}: {NAME}: BAD[0], line 4: nothing is found, and it is expected")

    def test_to_hold_none_to_its_promises_is_a_mistake(self, interlock_in: Interlock, git: Git) -> None:
        assert interlock_in("check", "--hazards", folder=git.root).code == 2

    def test_its_story_is_told(self, interlock_in: Interlock, git: Git) -> None:
        git.write(FILES)
        assert "is off by a cent" in interlock_in("explain", "float-refund", folder=git.root).out
        assert NAME in interlock_in("explain", folder=git.root).out


class TestGate:
    def test_the_gate_holds_a_change_against_the_hazards_of_the_base(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({**FILES, "interlock.toml": FILES["interlock.toml"] + MAP, "shop/refunds.py": CENTS})
        git.branch("change")
        git.commit({"shop/refunds.py": REFUND})
        assert planted(interlock_in, git)["answer"] == f"yes: {NAME}"

    @pytest.mark.parametrize(
        "change",
        [{PATH: BLIND}, {PATH: None}, {PATH: "raise SystemExit(0)\n"}, {"hazards/payments/_calls.py": "def refunds(_): ()\n"}],
    )
    def test_a_change_cannot_alter_the_hazards_that_it_is_held_against(
        self, interlock_in: Interlock, git: Git, change: dict[str, str | bytes | None]
    ) -> None:
        git.commit({**FILES, "interlock.toml": FILES["interlock.toml"] + MAP, "shop/refunds.py": CENTS})
        git.branch("change")
        git.commit({"shop/refunds.py": REFUND, **change})
        assert planted(interlock_in, git)["answer"] == f"yes: {NAME}"
        found = touched(interlock_in, git)
        assert found["verdict"] == "unknown"
        assert f"the change alters {next(iter(change))}: a person has to agree" in found["evidence"][-1]

    def test_a_hazard_that_a_change_brings_is_not_run_and_no_doubt(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({**FILES, "interlock.toml": FILES["interlock.toml"] + MAP, "shop/refunds.py": CENTS})
        git.branch("change")
        git.commit({"hazards/payments/other.py": "raise SystemExit(0)\n", "shop/refunds.py": CENTS + "\n"})
        assert planted(interlock_in, git)["verdict"] == "pass"
        assert touched(interlock_in, git)["verdict"] == "pass"

    def test_a_broken_one_at_the_base_is_unknown(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({**FILES, PATH: "1 / 0\n# refund\n", "interlock.toml": FILES["interlock.toml"] + MAP})
        git.branch("change")
        git.commit({"shop/refunds.py": REFUND})
        answer = planted(interlock_in, git)
        assert answer["verdict"] == "unknown"
        assert answer["evidence"][0].startswith(f"{PATH}:1: cannot be imported: ZeroDivisionError")


TEST = "from shop.refunds import give_back\n\n\ndef test_it_gives_back():\n    give_back(Bank(), 50)\n\n\n"
BANK = "class Bank:\n    def refund(self, cents):\n        self.cents = cents\n"


def test_its_injector_plants_it_for_the_audit_of_tests(interlock_in: Interlock, git: Git) -> None:
    must = '[[must_test]]\nid = "tests/test_refunds.py::test_it_gives_back"\nguards = "cents"\nfeature = "payments"\n'
    command = f"[tests]\ncommand = {json.dumps([sys.executable, '-m', 'pytest', '-q', '-p', 'no:randomly'])}\n"
    git.write({"conftest.py": "", ".gitignore": ".interlock/\n__pycache__/\n", "shop/__init__.py": ""})
    git.commit({**FILES, "interlock.toml": FILES["interlock.toml"] + MAP + must + command})
    git.branch("change")
    git.commit({"shop/refunds.py": CENTS, "tests/test_refunds.py": TEST + BANK})
    told = json.loads(interlock_in("audit", "--tests", "--format", "json", folder=git.root).out)
    assert [(one["hazard"], one["at"], one["noticed"]) for one in told["planted"]] == [(NAME, "shop/refunds.py:2", False)]


@pytest.mark.parametrize(
    ("text", "verdict", "told"),
    [
        (FLOAT_REFUND, "pass", "payments/float-refund is one of your own, and keeps what a hazard promises"),
        (BLIND, "fail", "payments/float-refund is one of your own, and BAD[0], line 3: nothing is found"),
        ("import asst\n", "fail", f"{PATH}:1: cannot be imported"),
    ],
)
def test_an_incident_links_it_if_it_keeps_its_promises(
    interlock_in: Interlock, git: Git, text: str, verdict: str, told: str
) -> None:
    moments = "".join(f"{name}_at = 2024-05-03T10:00:00Z\n" for name in ("started", "detected", "mitigated", "resolved"))
    record = f'title = "Refunds are off"\ncause = "floats"\nhazard = "{NAME}"\n{moments}'
    git.commit({**FILES, PATH: text, "incidents/refund.toml": record})
    (one,) = json.loads(interlock_in("incident", "check", "--format", "json", folder=git.root).out)["incidents"]
    hazard = next(lesson for lesson in one["lessons"] if lesson["lesson"] == "hazard")
    assert (hazard["verdict"], hazard["answer"].startswith(told)) == (verdict, True), hazard
