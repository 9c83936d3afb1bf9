"""Each contract catches what it promises to catch, and is silent on what is right."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interlock.core.verdict import Verdict
from interlock.prove.explore import prove
from interlock.prove.loading import apart

sys.path.insert(0, str(Path(__file__).parent))
planted: Any = importlib.import_module("mutants")

if TYPE_CHECKING:
    from interlock.prove.contract import Contract

pytestmark = pytest.mark.usefixtures("redis_server")

NAMES = sorted(path.stem for path in planted.SUBJECTS.glob("*.py") if path.stem != "adapters")
# `benchmarks/prove_mutants.py --right` runs all of them, and the subjects that are left out here.
SHORT = {
    planted.TWO_IN_A_SECOND,
    planted.TWICE,
    planted.TWO_WORKERS,
    planted.BEFORE,
    planted.COUNT,
    planted.TTL,
}


def contracts_of(subject: str) -> list[Contract]:
    if str(planted.SUBJECTS) not in sys.path:
        sys.path.insert(0, str(planted.SUBJECTS))
    return apart(importlib.import_module("adapters").of(subject, subject))


@pytest.mark.parametrize("mutant", planted.MUTANTS, ids=lambda mutant: f"{mutant.subject}: {mutant.name}")
def test_a_subject_without_one_of_its_guards_fails_in_the_scenario_that_is_about_it(mutant: Any, tmp_path: Path) -> None:
    proof = prove(mutant.contract(tmp_path), budget_s=60)

    assert proof.verdict is Verdict.FAIL, proof.reason


@pytest.mark.parametrize("subject", ["cache", "ledger", "lock", "rate_limit", "sign_up"])
def test_a_right_subject_breaks_nothing(subject: str) -> None:
    for contract in contracts_of(subject):
        proof = prove(contract, budget_s=60)
        assert (proof.verdict, proof.violation) == (Verdict.PASS, None), f"{contract.name}: {proof.reason}"


@pytest.mark.parametrize("subject", ["lock_queue"])
def test_a_right_queue_breaks_nothing(subject: str) -> None:
    chosen = [one for one in contracts_of(subject) if one.scenario and one.scenario.name in SHORT]
    assert len(chosen) == len(SHORT)
    for contract in chosen:
        proof = prove(contract, budget_s=60)
        assert (proof.verdict, proof.violation) == (Verdict.PASS, None), f"{contract.name}: {proof.reason}"


def test_every_scenario_of_every_contract_is_one_that_some_mutant_breaks() -> None:
    """A scenario that nothing can fail would say nothing."""
    broken = Counter(mutant.scenario for mutant in planted.MUTANTS)
    known = {one.scenario.name for name in NAMES for one in contracts_of(name) if one.scenario}

    assert len(planted.MUTANTS) >= 30
    assert known - set(broken) == set()
