"""Payment retry queues under load: 10,000 calls at once, 1,000 within 100 ms, and 420 a second for an hour.

    python benchmarks/load.py                  # about 8 minutes
    python benchmarks/load.py --write          # also into docs/prove/load.md
    python benchmarks/load.py --queue the_right_queue --only hour --hour 2700         # a whole hour at 420 a second

The hour is as much of it as the budget allows; how much that was stands in the table. What the module and the machine do is
measured together: other programs on the machine make both slower.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.prove.load.run import loaded
from interlock.prove.load.shapes import burst, steady
from interlock.prove.loading import written_in

if TYPE_CHECKING:
    from interlock.prove.contract import Contract
    from interlock.prove.load.result import LoadResult
    from interlock.prove.load.scene import LoadProgress

REPOSITORY = Path(__file__).resolve().parent.parent
CONTRACTS = REPOSITORY / "examples" / "contracts" / "under_load.py"
PAGE = REPOSITORY / "docs" / "prove" / "load.md"
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
HOUR_S = 3600.0
HEAD = (
    "| queue | load | answer | calls | success | collisions | duplicates | lost | begun or covered | p50 / p99 / max, ms |"
    " Redis connections |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def row(result: LoadResult) -> str:
    """One load as a row of the table."""
    if result.begun_within_ms is not None:
        covered = f"within {result.begun_within_ms:,.0f} ms, {result.at_once:,} on their way"
    else:
        covered = f"{result.covered_s:,.0f} s of {result.over_s:,.0f} s, in {result.made_in_s:,.0f} s"
    unknown = result.payments is None
    payments = ["?"] * 3 if unknown else [f"{one:,}" for one in (result.collisions, result.duplicates, result.lost)]
    success = "?" if result.success is None else f"{result.success:.1%}"
    latency = " / ".join(f"{one:,.1f}" for one in (result.latency_ms.p50, result.latency_ms.p99, result.latency_ms.most))
    cells = [result.contract, result.shape, f"**{result.verdict}**", f"{result.calls:,}", success, *payments, covered, latency]
    return f"| {' | '.join([*cells, f'{result.connections.most}, {result.connections.last} at rest'])} |"


def measured(contract: Contract, budget_s: float, hour_s: float, only: str) -> list[str]:
    """The rows of one queue."""
    hour = (steady(420, for_s=HOUR_S, poll_every_s=1), hour_s)
    shapes = (
        (burst(10_000, at_once=1000), budget_s),
        (burst(1000, within_ms=100, at_once=1000), budget_s),
        hour,
        (steady(1, for_s=60, repeats=0, workers=1), budget_s),
    )
    rows: list[str] = []
    for shape, seconds in (hour,) if only == "hour" else shapes:
        result = loaded(contract, shape, budget_s=seconds, told=_told)
        rows.append(row(result))
        print(rows[-1], *result.violations, *result.reasons, sep="\n    ", flush=True)
    return rows


def _told(progress: LoadProgress) -> None:
    print(f"\r{progress.stage}: {progress.calls:,} of {progress.planned:,}   ", end="", file=sys.stderr, flush=True)


def main() -> None:
    """Measures, prints, and writes the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=120, metavar="SECONDS", help="for each burst (%(default)s)")
    parser.add_argument("--hour", type=float, default=180, metavar="SECONDS", help="for each hour (%(default)s)")
    parser.add_argument("--queue", default="", metavar="NAME", help="no other queue")
    parser.add_argument("--only", default="", choices=("hour",), help="no other load")
    parser.add_argument("--write", action="store_true", help="write the table into docs/prove/load.md")
    options = parser.parse_args()
    logging.disable()
    before, began_s = os.getloadavg()[0], time.monotonic()
    contracts = [one for one in written_in(CONTRACTS) if options.queue in {"", one.name}]
    rows = [line for contract in contracts for line in measured(contract, options.budget, options.hour, options.only)]
    facts = (
        f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {before:.1f} before, {os.getloadavg()[0]:.1f} after, "
        f"{options.budget:g} s for each burst and {options.hour:g} s for each hour, {time.monotonic() - began_s:.0f} s in all."
    )
    text = "\n".join([HEAD, *rows, "", facts])
    print(f"\n{text}")
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        head, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
