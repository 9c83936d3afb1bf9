"""Carries `prove --load` out: finds the loads that contracts declare, runs them, prints, and leaves evidence."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.cli.loaded import told
from interlock.core.counting import counted
from interlock.core.errors import UsageError, nearest
from interlock.core.seconds import seconds
from interlock.core.verdict import Verdict, worst

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from interlock.cli.console import Console
    from interlock.prove.contract import Contract
    from interlock.prove.load.result import LoadResult
    from interlock.prove.load.scene import LoadProgress

    Keep = Callable[[str, Verdict, set[str], dict[str, object]], None]

RATE_PER_S, FOR = 50.0, "10s"  # Of --url, unless told otherwise.
SUFFIX = " --load"  # What tells a contract under load from the same one in schedules, in evidence and in `contracts`.


def put_under_load(arguments: argparse.Namespace, console: Console, budget_s: float, keep: Keep) -> int:
    """Runs every load that the contracts of a file declare.

    Args:
        arguments: Of the verb.
        console: Where it is told.
        budget_s: How long each may take.
        keep: Leaves evidence: of what, with which answer, of which files, and the facts.
    """
    from interlock.prove.load.run import loaded  # noqa: PLC0415 - not needed for the help.

    path, _, name = arguments.path.partition("::")
    results: list[LoadResult] = []
    for contract in _declared(Path(path), name):
        for shape in contract.loads:
            console.note(f"{contract.name}: {shape.name} ...")
            results.append(loaded(contract, shape, budget_s=budget_s, told=partial(_show, console, contract.name)))
    console.result(told(arguments.format, results))
    verdict = worst(result.verdict for result in results)
    sources = {name for result in results for name in result.sources}
    keep(SUFFIX, verdict, sources, {"proofs": [_fact(result) for result in results]})
    console.note(f"{counted(len(results), 'load')}, {counted(sum(result.calls for result in results), 'call')}")
    return verdict.exit_code


def _declared(path: Path, name: str) -> list[Contract]:
    from interlock.prove.loading import written_in  # noqa: PLC0415 - as above.

    written = written_in(path)
    if name and name not in {contract.name for contract in written}:
        message = f"{path}: no contract {name!r}; {nearest(name, (contract.name for contract in written))}"
        raise UsageError(message)
    found = [contract for contract in written if contract.loads and name in {"", contract.name}]
    if not found:
        message = f"{path}: no contract{f' {name!r}' if name else ''} declares a load; expected @contract(load=burst(1000))"
        raise UsageError(message)
    return found


def _fact(result: LoadResult) -> dict[str, object]:
    """What the evidence says of one load."""
    facts: dict[str, object] = {"contract": f"{result.contract}, {result.shape}", "verdict": result.verdict}
    facts |= {"calls": result.calls, "success": result.success, "collisions": result.collisions}
    facts |= {"duplicates": result.duplicates, "lost": result.lost, "violation": result.violations}
    return facts | {"reason": "; ".join(result.reasons)}


def _show(console: Console, name: str, progress: LoadProgress) -> None:
    """Shows whoever waits how far a load is."""
    console.status(
        f"{name}: {progress.stage}, {progress.calls:,} of {counted(progress.planned, 'call')}, {progress.left_s:.0f} s left"
    )


def put_server_under_load(arguments: argparse.Namespace, console: Console, budget_s: float | None) -> int:
    """Puts an address under load. No evidence is left: nobody knows which code answers there."""
    from interlock.prove.load.over_http import OverHttp, over_http  # noqa: PLC0415 - not needed for the help.

    least = arguments.success_min
    load = OverHttp(
        url=arguments.url,
        per_s=arguments.rate if arguments.rate is not None else RATE_PER_S,
        for_s=seconds("--for", getattr(arguments, "for") or FOR),
        data=arguments.data,
        locustfile=arguments.locustfile,
        **({} if least is None else {"success_min": least}),
    )

    def show(passed_s: int, left_s: float) -> None:
        console.status(f"{load.url}: {passed_s} s, {left_s:.0f} s left")

    console.note(f"{load.url}: {load.name} ...")
    result = over_http(load, budget_s if budget_s is not None else load.for_s, show)
    console.result(told(arguments.format, [result]))
    console.note(counted(result.calls, "request"))
    return result.verdict.exit_code
