"""Runs contracts: a module's workers under every interleaving and single fault that matters, on a Redis of its own.

A contract is a function under @contract(...) that sets a world up and says what must hold in it: see docs/prove.md. PATH may
name one of the contracts in a file: contracts.py::each_payment_is_charged_once. What breaks a contract is kept in a small file,
and --replay runs it again: is it still broken, now that the module has changed?

With --load it puts the contracts under the loads that they declare, with real threads and processes: see docs/prove/load.md.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.cli.loads import put_server_under_load, put_under_load
from interlock.cli.proofs import FORMATS, proved, replay_told
from interlock.cli.settings import project_around
from interlock.core import evidence
from interlock.core.counting import counted
from interlock.core.errors import UsageError
from interlock.core.evidence import Evidence, git_blob
from interlock.core.seconds import seconds
from interlock.core.verdict import worst

if TYPE_CHECKING:
    import argparse

    from interlock.cli.console import Console
    from interlock.core.verdict import Verdict
    from interlock.prove.explore import Progress
    from interlock.prove.proof import Proof

HELP = "run a module under every interleaving and fault that matters"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("path", metavar="PATH", nargs="?", help="a Python file with contracts, or FILE::CONTRACT")
    parser.add_argument("--replay", metavar="FILE", help="run again what broke a contract, from a file in .interlock/replays")
    parser.add_argument(
        "--budget", metavar="TIME", help="how long each contract may take, such as 60s (default: 10s; each load 60s)"
    )
    parser.add_argument("--jobs", default=1, type=int, metavar="N", help="run schedules in so many processes (default: 1)")
    parser.add_argument(
        "--dask", default="", metavar="ADDRESS", help="run schedules on a Dask cluster, such as tcp://host:8786"
    )
    parser.add_argument("--load", action="store_true", help="put the contracts under the loads that they declare, instead")
    parser.add_argument("--url", metavar="URL", help="with --load: put a real server under load instead, by Locust")
    parser.add_argument("--rate", type=float, metavar="N", help="requests a second for --url (default: 50)")
    parser.add_argument("--for", metavar="TIME", help="how long --url is asked (default: 10s)")
    parser.add_argument("--data", metavar="JSON", help="what is posted to --url; {n} is the number of the request")
    parser.add_argument("--locustfile", type=Path, metavar="FILE", help="a locustfile that says what is asked of --url")
    parser.add_argument(
        "--success-min",
        type=float,
        metavar="SHARE",
        help="the share of requests to --url that must succeed (0.95)",
    )
    parser.add_argument("--sign", type=Path, metavar="KEY", help="sign the evidence with this SSH key")
    parser.add_argument("--deep", action="store_true", help="when all is done, draw further schedules as long as there is time")
    parser.add_argument("--format", choices=FORMATS, default="text", help="how to print the result (default: text)")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Proves, prints, and answers with an exit code."""
    # Greenlets are needed here, and nowhere on the path of a check.
    try:
        from interlock.prove.explore import watched  # noqa: PLC0415
        from interlock.prove.loading import contracts_in  # noqa: PLC0415
        from interlock.prove.replay import kept, replayed_in_time, write  # noqa: PLC0415
    except ModuleNotFoundError as error:
        message = f"{error.name} is not installed; prove needs it: pip install 'interlock[prove]'"
        raise UsageError(message) from error

    if arguments.url is not None:
        if not arguments.load or arguments.path is not None or arguments.replay is not None:
            raise UsageError("--url is put under load alone: expected --load --url URL, and no PATH")
        budget_s = seconds("--budget", arguments.budget) if arguments.budget else None
        return put_server_under_load(arguments, console, budget_s)
    _refuse_what_is_for_a_server(arguments)
    if (arguments.path is None) == (arguments.replay is None):
        raise UsageError("expected a PATH with contracts, or --replay FILE")
    if arguments.replay is not None:
        again = replayed_in_time(Path(arguments.replay))
        console.result(replay_told(arguments.format, arguments.replay, again))
        return again.verdict.exit_code
    if arguments.load:
        budget_s = seconds("--budget", arguments.budget or "60s")
        return put_under_load(arguments, console, budget_s, _Records(arguments, console).keep)
    records = _Records(arguments, console)
    budget_s = seconds("--budget", arguments.budget or "10s")
    path, _, name = arguments.path.partition("::")
    proofs: list[Proof] = []
    for contract in contracts_in(Path(path), name or None):
        console.note(f"proving {contract.name} ...")
        told = partial(_show, console, contract.name)
        crew = {"jobs": arguments.jobs, "dask": arguments.dask}
        proofs.append(watched(contract, budget_s=budget_s, deep=arguments.deep, told=told, **crew))
        if (finding := proofs[-1].finding) is not None:
            proofs[-1].replay = str(write(kept(contract, finding.schedule, finding.violation)))
    console.result(proved(arguments.format, proofs))
    sources = {name for proof in proofs for name in proof.sources}
    records.keep("", worst(proof.verdict for proof in proofs), sources, {"proofs": [_fact(proof) for proof in proofs]})
    console.note(f"{counted(len(proofs), 'contract')}, {counted(sum(proof.schedules for proof in proofs), 'schedule')}")
    return worst(proof.verdict for proof in proofs).exit_code


def _refuse_what_is_for_a_server(arguments: argparse.Namespace) -> None:
    """Nobody is to believe that a contract was put under a rate which it does not know."""
    for name in ("--rate", "--for", "--data", "--locustfile", "--success-min"):
        if getattr(arguments, name.removeprefix("--").replace("-", "_")) is not None:
            message = f"{name} is for a server: expected --load --url URL with it; a contract says its loads itself"
            raise UsageError(message)


@dataclass(frozen=True, slots=True)
class _Records:
    """Leaves evidence of what was proved, and of which files.

    Args:
        arguments: What was asked for.
        console: Where it is told.
        began_s: When, in seconds since 1970: what was written since may be something else than what was run.
    """

    arguments: argparse.Namespace
    console: Console
    began_s: float = field(default_factory=time.time)

    def keep(self, suffix: str, verdict: Verdict, sources: set[str], facts: dict[str, object]) -> None:
        """Leaves it, where there is a project to leave it in."""
        path = Path(self.arguments.path.partition("::")[0])
        project = project_around(path.resolve().parent)
        if not project.is_certain:
            return
        files = {name for name in sources if Path(name).is_relative_to(project.root)} | {str(path.resolve())}
        changed = sorted(name for name in files if not self._is_as_it_was(Path(name)))
        if changed:
            self.console.note(f"no evidence: {project.inside(changed[0])} was changed meanwhile")
            return
        contracts = project.inside(path) + "".join(self.arguments.path.partition("::")[1:])
        claim = Evidence(
            kind="prove",
            verdict=verdict,
            subjects={project.inside(name): git_blob(Path(name).read_bytes()) for name in sorted(files)},
            made_at=datetime.now(UTC),
            command=("interlock", "prove", contracts, *suffix.split()),
            found={"contracts": contracts + suffix, **facts},
        )
        kept = evidence.write(claim, project.root)
        if self.arguments.sign is not None:
            from interlock.gate.records.signers import sign  # noqa: PLC0415 - only who signs needs it.

            sign(kept, self.arguments.sign)
        self.console.note(f"evidence: {kept.relative_to(project.root)}")

    def _is_as_it_was(self, path: Path) -> bool:
        try:
            return path.stat().st_mtime <= self.began_s
        except OSError:
            return False


def _fact(proof: Proof) -> dict[str, object]:
    """What the evidence says of one contract."""
    facts = {"contract": proof.contract, "verdict": proof.verdict, "schedules": proof.schedules, "bounds": proof.bounds}
    return {**facts, "violation": list(proof.violation.broken) if proof.violation else [], "reason": proof.reason}


def _show(console: Console, name: str, progress: Progress) -> None:
    """Shows whoever waits how far a proof is."""
    schedules = counted(progress.schedules, "schedule")
    console.status(f"{name}: {progress.stage}, {schedules}, {progress.left_s:.0f} s left")
