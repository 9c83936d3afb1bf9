"""One errand for one queue, in a process of its own: `python -m benchmarks.peers NAME URL COMMAND [JSON]`.

Prints the answer as one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers import adapter, payments, witness
from benchmarks.peers.pace import Window

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from benchmarks.peers.base import Peer

    Errand: TypeAlias = Callable[[Peer, dict[str, Any]], Any]


def facts(peer: Peer, _: dict[str, Any]) -> dict[str, Any]:
    """What the report says about the queue, with the versions that are installed."""
    known = asdict(peer.facts)
    return known | {"versions": {package: version(package) for package in peer.facts.packages}}


def single(peer: Peer, given: dict[str, Any]) -> float:
    """Payments per second, one caller."""
    return peer.single(Window(given["warm_up_s"], given["timed_s"]))


def batch(peer: Peer, given: dict[str, Any]) -> dict[str, float]:
    """Payments per second of each way to enqueue many."""
    return peer.batch(Window(given["warm_up_s"], given["timed_s"]))


def fill(peer: Peer, given: dict[str, Any]) -> None:
    """Enqueues payments that are due at once."""
    peer.fill(given["first"], given["count"])


def fill_due(peer: Peer, given: dict[str, Any]) -> float:
    """Enqueues payments `step_s` apart, the first `lead_s` from now; answers when the last is due (seconds since 1970)."""
    start_s = time.time() + float(given["lead_s"])
    at_s: list[float] = [start_s + number * given["step_s"] for number in range(given["count"])]
    peer.fill_due(at_s)
    return at_s[-1]


def put(peer: Peer, given: dict[str, Any]) -> None:
    """Enqueues one special payment, which its handler holds for `hold_ms`."""
    peer.put(payments.numbered(given["number"], hold_ms=given["hold_ms"]), given["part"])


def work(peer: Peer, given: dict[str, Any]) -> None:
    """Runs a worker until the process is killed."""
    witness.appoint(Path(given["witness"]), given["expected"])
    peer.work(given["part"])


def settle(peer: Peer, given: dict[str, Any]) -> dict[str, float]:
    """Waits until the last payment was executed, then until none is unfinished; answers seconds since the first execution.

    Looks at the witness's file alone until the last execution, so that waiting costs the worker nothing.
    """
    from redis import Redis  # noqa: PLC0415 - The one errand that needs it.

    path, until_s = Path(given["witness"]), time.monotonic() + given["limit_s"]
    with Redis.from_url(peer.url) as redis:
        while not witness.lines(path, "last"):
            if time.monotonic() > until_s:
                problem = f"{peer.unfinished(redis)} of {given['count']} payments left after {given['limit_s']} s"
                raise TimeoutError(problem)
            time.sleep(0.02)
        while left := peer.unfinished(redis):
            if time.monotonic() > until_s:
                problem = f"{left} payments executed and never finished"
                raise TimeoutError(problem)
            time.sleep(0.002)
    finished_s = time.monotonic()
    first, last = witness.lines(path, "first")[0], witness.lines(path, "last")[-1]
    return {"took_s": finished_s - first.at_s, "executing_s": last.at_s - first.at_s, "executed": last.value}


ERRANDS: dict[str, Errand] = {errand.__name__: errand for errand in (facts, single, batch, fill, fill_due, put, work, settle)}


def main() -> None:
    """Runs the errand that the command line names."""
    name, url, command, *rest = sys.argv[1:]
    given = json.loads(rest[0]) if rest else {}
    answer = ERRANDS[command](adapter(name, url), given)
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
