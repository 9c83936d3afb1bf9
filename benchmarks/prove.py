"""Finds the same faults with plain stress, Hypothesis, frontrun and `interlock prove`, side by side, on a real Redis.

    python benchmarks/prove.py                    # three runs of each tool on each subject, and a table
    python benchmarks/prove.py --runs 10 --write  # also into docs/prove/compared.md

Each tool gets the subjects, the ledger and the end of `prove_peers.py`. What finds nothing within its limit has not found it.
The time of `interlock prove` is that of the whole answer: found, made small, and repeated five times in real processes.
frontrun is deterministic, and is run once, in an environment of its own that is made here (`requirements-frontrun.txt`).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import redis
from prove_peers import (  # type: ignore[import-not-found] # it lies beside this file.
    CASES,
    ORDER,
    PROVIDER,
    Outcome,
    hypothesis,
    in_place,
    stress,
)

from interlock.core.verdict import Verdict
from interlock.prove.contract import contract
from interlock.prove.explore import prove

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from prove_peers import Case

    from interlock.prove.world import World

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "prove" / "compared.md"
TOOLS = ("stress", "Hypothesis", "Hypothesis + fault rules", "frontrun", "interlock prove")
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
PROVE_BUDGET_S = 60


def by_prove(case: Case) -> Outcome:
    """What `interlock prove` finds."""

    @contract(workers=2, faults=1)
    def side_by_side(world: World) -> None:
        bank = world.provider(PROVIDER)
        subject = world.subject(case.make, world.redis_url)
        world.given(lambda: subject().enqueue(ORDER))
        world.run(lambda: subject().process())
        world.recover(times=3)
        world.check(bank.charged_at_most_once(ORDER) if case.may_lose else bank.charged_once(ORDER))

    proof = prove(side_by_side, budget_s=PROVE_BUDGET_S)
    told = proof.violation.broken[0] if proof.violation is not None and proof.verdict is Verdict.FAIL else ""
    return Outcome(told, proof.seconds, proof.schedules, proof.reason)


def by_frontrun(python: Path, case: Case, url: str, limit_s: float) -> Outcome:
    """What frontrun finds, in its own environment."""
    programs = (python.with_name("frontrun"), python, HERE / "prove_peers.py")
    command = [*map(str, programs), str(CASES.index(case)), url, str(limit_s)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s + 60, check=False)
    if done.returncode:
        return Outcome("", 0.0, 0, f"failed: {done.stderr.strip().splitlines()[-1]}")
    found, seconds, tries, unsure = json.loads(done.stdout.strip().splitlines()[-1])
    return Outcome(found, seconds, tries, unsure)


def environment(folder: Path) -> Path:
    """A Python with frontrun, made the first time."""
    python = folder / "bin" / "python"
    wanted = (HERE / "requirements-frontrun.txt").read_text(encoding="utf-8")
    done = folder / "requirements.txt"
    if not done.is_file() or done.read_text(encoding="utf-8") != wanted:
        print(f"setting up {folder} ...", file=sys.stderr)
        venv.create(folder, with_pip=True)
        requirements = ["--requirement", str(HERE / "requirements-frontrun.txt")]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
        done.write_text(wanted, encoding="utf-8")
    return python


@contextmanager
def own_redis() -> Generator[str]:
    """A Redis of the benchmark's own."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        server = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        url = f"redis://127.0.0.1:{port}/0"
        try:
            while True:
                try:
                    redis.Redis.from_url(url).ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.05)
            yield url
        finally:
            server.terminate()
            server.wait()


def measured(case: Case, runs: int, tools: dict[str, Callable[[Case], Outcome]]) -> list[str]:
    """The cells of a row."""
    cells: list[str] = []
    for name, tool in tools.items():
        outcomes = [tool(case) for _ in range(1 if name == "frontrun" else runs)]
        cells.append(cell(outcomes))
        print(f"  {name}: {cells[-1]}", file=sys.stderr, flush=True)
    return cells


def cell(outcomes: list[Outcome]) -> str:
    """How often, how soon and in how many tries."""
    hits = [outcome for outcome in outcomes if outcome.found]
    told = f"{len(hits)}/{len(outcomes)}"
    if hits:
        seconds = statistics.median(outcome.seconds for outcome in hits)
        tries = statistics.median(outcome.tries for outcome in hits)
        return f"**{told}** · {seconds:.2f} s · {tries:.0f}"
    unsure = next((outcome.unsure for outcome in outcomes if outcome.unsure), "")
    return f"{told} ({unsure})" if unsure else told


def main() -> int:
    """Measures, and prints the table; fails if `interlock prove` misses something, or raises a false alarm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only subjects with one of these in their name")
    parser.add_argument("--runs", type=int, default=3, help="of each tool on each subject (default: 3)")
    parser.add_argument("--limit", type=float, default=5.0, help="seconds for each run of the others (default: 5)")
    parser.add_argument("--venvs", type=Path, default=HERE / ".venvs", help="where frontrun is installed")
    parser.add_argument("--write", action="store_true", help="write the table into docs/prove/compared.md")
    options = parser.parse_args()
    logging.disable()
    python = environment(options.venvs / "frontrun")
    load_before, began = os.getloadavg()[0], time.monotonic()
    rows: list[tuple[Case, list[str]]] = []
    with own_redis() as url:
        tools: dict[str, Callable[[Case], Outcome]] = {
            "stress": partial(stress, url=url, limit_s=options.limit),
            "Hypothesis": partial(hypothesis, url=url, limit_s=options.limit, with_faults=False),
            "Hypothesis + fault rules": partial(hypothesis, url=url, limit_s=options.limit, with_faults=True),
            "frontrun": partial(by_frontrun, python, url=url, limit_s=4 * options.limit),
        }
        for case in CASES:
            if not any(word in case.name for word in options.words or [""]):
                continue
            print(case.name, file=sys.stderr, flush=True)
            with in_place():
                others = measured(case, options.runs, tools)
            rows.append((case, others + measured(case, options.runs, {"interlock prove": by_prove})))
    facts = (
        f"{options.runs} runs, {options.limit:g} s for each of the others (frontrun once, {4 * options.limit:g} s), Python "
        f"{sys.version.split()[0]}, {os.cpu_count()} cores, load {load_before:.1f} before and {os.getloadavg()[0]:.1f} after, "
        f"{time.monotonic() - began:.0f} s in all"
    )
    text = table(rows) + f"\n\n{facts}.\n"
    print(text)
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        before, after = page.partition(BEGIN)[0], page.partition(END)[2]
        PAGE.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")
    ours = [(case.is_wrong, cells[-1].startswith("**")) for case, cells in rows]
    return int(any(is_wrong != is_found for is_wrong, is_found in ours))


def table(rows: list[tuple[Case, list[str]]]) -> str:
    """As Markdown."""
    lines = [f"| subject | {' | '.join(TOOLS)} |", "| --- " * (len(TOOLS) + 1) + "|"]
    lines += [f"| {case.name} | {' | '.join(cells)} |" for case, cells in rows]
    wrong = [cells for case, cells in rows if case.is_wrong]
    right = [cells for case, cells in rows if not case.is_wrong]
    totals = [f"{sum(cells[place].startswith('**') for cells in wrong)} of {len(wrong)}" for place in range(len(TOOLS))]
    alarms = [str(sum(cells[place].startswith("**") for cells in right)) for place in range(len(TOOLS))]
    return "\n".join([*lines, f"| found | {' | '.join(totals)} |", f"| false alarms | {' | '.join(alarms)} |"])


if __name__ == "__main__":
    sys.exit(main())
