"""Measures retryqueue and eight well-known queues in one run on one fresh Redis.

    python benchmarks/queue.py                             # all of it, about ten minutes
    python benchmarks/queue.py --parts drain --peers arq,retryqueue
    python benchmarks/queue.py --repeat 3 --markdown table.md --json figures.json

Each queue is installed at a pinned version, in environments made on the first run under benchmarks/.venvs, and every errand is
a process of its own. Rounds go through all queues in turn, so that a machine which slows down slows all of them. Needs
redis-server 6.2 or later. The exit code is 0 when every target is met, 1 when one is missed, 3 when one is unknown
(which a queue that failed, or was left out, makes some of them), 2 when the command line is wrong.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # Else `import queue` anywhere would find this file.

# ruff: noqa: E402
import argparse
import datetime as dt
import json
import os
import platform
import shutil
from typing import TYPE_CHECKING

from benchmarks import processes, report, server
from benchmarks.parts import PARTS, Effort, Subject
from benchmarks.peers import OURS, PEERS
from benchmarks.results import Found, Run, exit_code, targets

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> int:
    """Runs what the command line asks for and answers the exit code."""
    options = _options()
    unusable = processes.prepare(options.peers)
    with server.started(options.server) as fresh:
        run = Run(_circumstances(fresh, options.repeat))
        for queue in options.peers:
            _introduce(run, queue, fresh, unusable)
        for number in range(options.repeat):
            for queue in options.peers:
                _measure(run, queue, fresh, options, f"round {number + 1}, {queue}")
    run.circumstances["load_at_end"] = _load()
    _tell(run, options)
    return exit_code(targets(run))


def _introduce(run: Run, queue: str, fresh: server.Server, unusable: dict[str, str]) -> None:
    """Notes the queue's facts, or why it cannot be measured."""
    run.found[queue] = {}
    try:
        if problem := unusable.get(processes.environment_of(queue)):
            raise processes.PeerFailedError(problem)  # noqa: TRY301 - Told like every other failure.
        run.facts[queue] = processes.ask(queue, fresh.url, "facts")
    except processes.PeerFailedError as error:
        run.found[queue] = {part: Found(errors=[str(error)]) for part in PARTS}
        _say(f"{queue}: failed: {error}")


def _measure(run: Run, queue: str, fresh: server.Server, options: argparse.Namespace, title: str) -> None:
    """One round of one queue: each part on an emptied server."""
    if queue not in run.facts:
        return
    effort = Effort(timed_s=options.seconds, warm_up_s=options.seconds / 6, scale=options.scale, cap_s=options.cap)
    subject = Subject(name=queue, facts=run.facts[queue], server=fresh, effort=effort)
    for part in options.parts:
        found = run.found[queue].setdefault(part, Found())
        if part == "recovery" and subject.facts["recovery_skipped"] and not options.recovery:
            found.skipped = subject.facts["recovery_skipped"]
            continue
        fresh.empty()
        try:
            found.figures.append(PARTS[part](subject))
            _say(f"{title}, {part}: {json.dumps(found.figures[-1])}")
        except processes.PeerFailedError as error:
            found.errors.append(str(error))
            _say(f"{title}, {part}: failed: {error}")


def _tell(run: Run, options: argparse.Namespace) -> None:
    """Writes the files that were asked for, and prints the tables and the targets."""
    markdown = report.as_markdown(run)
    if options.json:
        options.json.write_text(json.dumps(report.as_json(run), indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(markdown)
    sys.stdout.write(f"{markdown}\n{report.as_targets(run)}\n")


def _circumstances(fresh: server.Server, rounds: int) -> dict[str, object]:
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "redis": fresh.info("server")["redis_version"],
        "cores": os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": _load(),
        "rounds": rounds,
    }


def _load() -> str:
    """Processes that run or want to, the mean of a minute: whether anything else used the machine."""
    return f"{os.getloadavg()[0]:.1f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=_some_of(tuple(PARTS)), default=list(PARTS), help=f"some of {','.join(PARTS)}")
    names = (*PEERS, OURS)
    parser.add_argument("--peers", type=_some_of(names), default=list(names), help=f"some of {','.join(names)}")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="rounds; the median is told (default: 1)")
    parser.add_argument("--recovery", action="store_true", help="wait also for queues known not to recover within the cap")
    parser.add_argument("--cap", type=float, default=60.0, metavar="S", help="longest wait for a recovery (default: 60 s)")
    parser.add_argument("--seconds", type=float, default=3.0, metavar="S", help="length of a timed window (default: 3 s)")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies all numbers of payments (default: 1)")
    parser.add_argument(
        "--server", default="redis-server", metavar="PROGRAM", help="the server to start (default: redis-server)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables to FILE")
    options = parser.parse_args()
    if shutil.which(options.server) is None:
        parser.error(f"no program {options.server}: install Redis 6.2 or later, or name one with --server")
    return options


def _some_of(names: tuple[str, ...]) -> Callable[[str], list[str]]:
    def chosen(text: str) -> list[str]:
        if unknown := set(text.split(",")) - set(names):
            problem = f"no such name: {', '.join(sorted(unknown))} (there are {', '.join(names)})"
            raise argparse.ArgumentTypeError(problem)
        return [name for name in names if name in text.split(",")]

    return chosen


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
