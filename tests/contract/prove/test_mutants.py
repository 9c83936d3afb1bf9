"""Each contract catches what it promises to catch, and is silent on what is right."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

import pytest

from interlock.core.verdict import Verdict
from interlock.hazards.catalogue import catalogue
from interlock.prove import scenarios
from interlock.prove.explore import prove
from interlock.prove.loading import apart
from interlock.prove.story import LINES_MAX, story

sys.path.insert(0, str(Path(__file__).parent))
planted: Any = importlib.import_module("mutants")

if TYPE_CHECKING:
    from interlock.prove.contract import Contract

pytestmark = pytest.mark.usefixtures("redis_server")

# What is put under load alone has no contract of scenarios.
NAMES = sorted(path.stem for path in planted.SUBJECTS.glob("*.py") if path.stem not in {"adapters", "leaky"})
# `benchmarks/prove_mutants.py --right` runs all of them, and the subjects that are left out here.
SHORT = {
    planted.TWO_IN_A_SECOND,
    planted.TWICE,
    planted.TWO_WORKERS,
    planted.BEFORE,
    planted.COUNT,
    planted.TTL,
}


# Subjects that keep what they keep in Postgres.
ON_POSTGRES = {"ledger_postgres", "lock_postgres", "outbox_queue"}


@pytest.fixture(autouse=True)
def _servers(request: pytest.FixtureRequest) -> None:
    given: dict[str, Any] = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    subject = given.get("subject") or getattr(given.get("mutant"), "subject", "")
    if subject in ON_POSTGRES:
        request.getfixturevalue("postgres_server")


def contracts_of(subject: str) -> list[Contract]:
    if str(planted.SUBJECTS) not in sys.path:
        sys.path.insert(0, str(planted.SUBJECTS))
    return apart(importlib.import_module("adapters").of(subject, subject))


@pytest.mark.parametrize("mutant", planted.MUTANTS, ids=lambda mutant: f"{mutant.subject}: {mutant.name}")
def test_a_subject_without_one_of_its_guards_fails_in_the_scenario_that_is_about_it(mutant: Any, tmp_path: Path) -> None:
    """And what shows it is small: one fault at most, two switches, and a story of 15 lines that leaves none of them out."""
    proof = prove(mutant.contract(tmp_path), budget_s=60)

    assert proof.verdict is Verdict.FAIL, proof.reason
    assert proof.finding is not None
    schedule, violation = proof.finding.schedule, proof.finding.violation
    assert len(schedule.program.plan) <= 1
    assert len(schedule.switches) <= 2
    lines = story(violation)
    assert len(lines) <= LINES_MAX
    struck = [step for step in violation.steps[: violation.recovery_at] if step.fault or step.preempts]
    assert [step.effect.said for step in struck if not any(step.effect.said in line for line in lines)] == []


@pytest.mark.parametrize("subject", ["cache", "ledger", "lock", "lock_postgres", "rate_limit", "sign_up", "token_bucket"])
def test_a_right_subject_breaks_nothing(subject: str) -> None:
    for contract in contracts_of(subject):
        proof = prove(contract, budget_s=300)
        assert (proof.verdict, proof.violation) == (Verdict.PASS, None), f"{contract.name}: {proof.reason}"


RIGHT_QUEUES = [
    ("lock_queue", SHORT),
    ("lua_queue", {planted.RESTART}),
    ("outbox_queue", {planted.TWICE}),
    ("stream_queue", {planted.TWO_WORKERS, planted.BEFORE, planted.TTL}),
]


@pytest.mark.parametrize(("subject", "names"), RIGHT_QUEUES)
def test_a_right_queue_breaks_nothing(subject: str, names: set[str]) -> None:
    chosen = [one for one in contracts_of(subject) if one.scenario and one.scenario.name in names]
    assert len(chosen) == len(names)
    for contract in chosen:
        proof = prove(contract, budget_s=300)
        assert (proof.verdict, proof.violation) == (Verdict.PASS, None), f"{contract.name}: {proof.reason}"


def test_every_scenario_of_every_contract_is_one_that_some_mutant_breaks() -> None:
    """A scenario that nothing can fail would say nothing."""
    broken = Counter(mutant.scenario for mutant in planted.MUTANTS)
    known = {one.scenario.name for name in NAMES for one in contracts_of(name) if one.scenario}

    assert len(planted.MUTANTS) >= 30
    assert known - set(broken) == set()


def test_a_payment_queue_has_twelve_scenarios_and_each_tells_its_story() -> None:
    modules = [importlib.import_module(f"{scenarios.__name__}.{found.name}") for found in iter_modules(scenarios.__path__)]

    assert [module.NUMBER for module in sorted(modules, key=lambda module: module.NUMBER)] == list(range(1, 13))
    assert len({module.SCENARIO.name for module in modules}) == 12
    assert all(str(module.__doc__).count("\n\n") >= 2 for module in modules)


# What only many operations show, and no order of a few.
SHOWN_BY_LOAD = {"identity/truncated-random"}


def test_the_scenario_that_a_hazard_names_is_there() -> None:
    known = {one.scenario.name for name in NAMES for one in contracts_of(name) if one.scenario}
    missing = {hazard.name: hazard.scenario for hazard in catalogue() if hazard.scenario not in known}

    assert set(missing) == SHOWN_BY_LOAD, f"scenarios that prove has: {sorted(known)}"
