"""How often, how soon and in how many schedules each mutant is found; and whether what is right stays silent.

    python benchmarks/prove_mutants.py            # each mutant ten times
    python benchmarks/prove_mutants.py --right    # each right subject in all of its scenarios, 2,000 schedules at least
    python benchmarks/prove_mutants.py cache lock # only what has one of these words in its name

A run is what `interlock prove` does: the search, making the story small, and repeating it in real processes. Where all that is
within the bounds is less than 2,000 schedules of a right subject, the rest of them is drawn, as `--deep` does.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.core.verdict import Verdict
from interlock.prove.explore import Proof, prove
from interlock.prove.loading import apart

if TYPE_CHECKING:
    from interlock.prove.contract import Contract

HERE = Path(__file__).resolve().parent.parent / "tests" / "contract" / "prove"
RUNS = 10
BUDGET_S = 600.0
ENOUGH = 2000
FIRST_GUESS = 50.0  # Schedules a second; what the first scenario takes tells more.


def main() -> int:
    """Prints a line for each; tells whether all are as they should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only what has one of these in its name")
    parser.add_argument("--right", action="store_true", help="the right subjects instead of the mutants")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"how often each mutant is run (default: {RUNS})")
    arguments = parser.parse_args()
    sys.path[:0] = [str(HERE), str(HERE / "subjects")]
    words = arguments.words or [""]
    return right(words) if arguments.right else mutants(words, arguments.runs)


def mutants(words: list[str], runs: int) -> int:
    """Each mutant, so many times."""
    planted: Any = importlib.import_module("mutants")
    chosen = [mutant for mutant in planted.MUTANTS if any(word in f"{mutant.subject}: {mutant.name}" for word in words)]
    print(f"{'mutant':<62} {'found':>7} {'median s':>9} {'max s':>7} {'schedules':>10}")
    missed = 0
    slowest_s = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for mutant in chosen:
            proofs = [prove(mutant.contract(Path(folder)), budget_s=60) for _ in range(runs)]
            found = sum(proof.verdict is Verdict.FAIL for proof in proofs)
            seconds = [proof.seconds for proof in proofs]
            missed += runs - found
            slowest_s = max(slowest_s, *seconds)
            schedules = statistics.median(proof.schedules for proof in proofs)
            told = f"{found}/{runs:<4} {statistics.median(seconds):>9.2f} {max(seconds):>7.2f} {schedules:>10.0f}"
            print(f"{mutant.subject + ': ' + mutant.name:<62} {told:>37}", flush=True)
    print(f"{len(chosen)} mutants, {runs} runs each, {missed} not found, the slowest run {slowest_s:.2f} s")
    return int(missed > 0)


def right(words: list[str]) -> int:
    """Each right subject in all of its scenarios."""
    adapters: Any = importlib.import_module("adapters")
    alarms = 0
    print(f"{'subject':<16} {'scenarios':>10} {'passed':>7} {'schedules':>10} {'drawn':>6} {'seconds':>8}  not passed")
    for subject in (name for name in adapters.SUBJECTS if any(word in name for word in words)):
        contracts = apart(adapters.of(subject, subject))
        proofs = [prove(contract, budget_s=BUDGET_S) for contract in contracts]
        deep = drawn(contracts, proofs)
        wrong = [f"{one.contract}: {one.verdict} {one.reason}" for one in (*proofs, *deep) if one.verdict is not Verdict.PASS]
        alarms += len(wrong)
        schedules, seconds = sum(proof.schedules for proof in proofs), sum(proof.seconds for proof in (*proofs, *deep))
        more = sum(one.schedules - proof.schedules for one, proof in zip(deep, proofs, strict=bool(deep)))
        passed = sum(proof.verdict is Verdict.PASS for proof in proofs)
        told = f"{len(proofs):>10} {passed:>7} {schedules:>10} {more:>6} {seconds:>8.1f}"
        print(f"{subject:<16} {told}  {'; '.join(wrong) or '-'}", flush=True)
    return int(alarms > 0)


def drawn(contracts: list[Contract], proofs: list[Proof]) -> list[Proof]:
    """The same once more, each for so long that there are enough schedules in all; nothing, if there are."""
    missing = ENOUGH - sum(proof.schedules for proof in proofs)
    if missing <= 0 or any(proof.verdict is not Verdict.PASS for proof in proofs):
        return []
    deep: list[Proof] = []
    each, a_second = 1.5 * missing / len(contracts), FIRST_GUESS
    for contract, proof in zip(contracts, proofs, strict=True):
        deep.append(prove(contract, budget_s=1.5 * proof.seconds + each / a_second, deep=True))
        a_second = max(1.0, deep[-1].schedules / deep[-1].seconds)
    return deep


if __name__ == "__main__":
    sys.exit(main())
