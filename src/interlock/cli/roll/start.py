"""Releases what is behind the canary: step by step, as [roll] says, until it is done or rolled back.

Killed at any moment, it goes on where it was when it is started again. If nobody starts it again, the router sends nobody to
the canary any more after [roll.router] lease_s. Ctrl-C aborts and rolls back.

Exit 0: done. 1: harm was seen. 3: stopped because too little was known.
"""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlock.cli.rolled import FORMATS, Live, found, html, json_of, text
from interlock.cli.settings import project_around
from interlock.core import evidence
from interlock.core.errors import UsageError, WorldError
from interlock.core.evidence import Evidence, git_blob
from interlock.roll.buckets import new_salt
from interlock.roll.declared import load_declared
from interlock.roll.journal import Journal
from interlock.roll.plan import load_plan
from interlock.roll.rollout import BY_HAND, Rollout
from interlock.roll.shares import Shares
from interlock.roll.state import Phase, State, StateFile

if TYPE_CHECKING:
    import argparse

    from interlock.cli.console import Console
    from interlock.cli.settings import Project
    from interlock.roll.rollout import Outcome
    from interlock.roll.routers import Router

HELP = "release step by step, and roll back at the first sound sign of harm"
FOLDER: Final = Path(".interlock", "roll")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("--format", choices=FORMATS, default="text", help="how to print the result (default: text)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a page with a plot as well")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Rolls out, prints, and answers with an exit code."""
    project = project_around(Path.cwd())
    file = StateFile(project.root / FOLDER / "state.json")
    journal = Journal(project.root / FOLDER / "journal.jsonl")
    with file.alone():
        outcome = _rolled(project, file, journal, console)
    rows = journal.rows()
    try:
        if arguments.report:
            arguments.report.write_text(html(outcome, rows), encoding="utf-8")
        _keep(project, outcome)
    except (OSError, WorldError) as error:  # What was decided is decided; whoever waits for it must hear it.
        console.complain(f"the rollout is over, and what it leaves cannot be written: {error}")
    printed = {"text": lambda: text(outcome, console), "json": lambda: json_of(outcome), "html": lambda: html(outcome, rows)}
    console.result(printed[arguments.format]())
    console.note(f"step {outcome.state.step + 1}, {outcome.state.requests} requests of the canary, {console.elapsed_s:.0f} s")
    return outcome.verdict.exit_code


def _rolled(project: Project, file: StateFile, journal: Journal, console: Console) -> Outcome:
    plan, declared = load_plan(project.document), load_declared(project.document, project.root)
    router = declared.open_router()
    state = _state(file, repr((plan, declared.router, declared.sources, declared.rollback, declared.promote)), journal, console)
    if not state.at_s:
        _nobody_there(router)
    shares = Shares(state.shares)
    ears = declared.open_ears(plan, shares, state.salt)
    rollout = Rollout(
        plan=plan,
        router=router,
        ears=ears,
        file=file,
        state=state,
        shares=shares,
        watcher=Live(plan, console, journal),
        folder=project.root,
        rollback=declared.rollback,
        promote=declared.promote,
        pace=declared.pace,
    )
    try:
        return rollout.run()
    except KeyboardInterrupt:
        if not state.at_s:  # Nobody has been on the canary.
            raise
        console.complain("stopping: nobody stays on the canary, and the old version comes back ...")
        return rollout.stop(BY_HAND)
    finally:
        rollout.listening.close()
        if unknown := rollout.listening.unknown:
            console.complain(f"heard of {', '.join(sorted(unknown))}, which is no metric of the plan; not counted")


def _nobody_there(router: Router) -> None:
    """Raises UsageError if the canary serves already: to begin would send its users back to the version before."""
    setting = router.read()
    if setting.limit and setting.until_s > time.time():
        message = (
            f"the router sends {setting.share:.2%} to the canary already; expected nobody there before a rollout begins."
            " Put the version that serves now where the baseline is, then `interlock roll abort`"
        )
        raise UsageError(message)


def _state(file: StateFile, plan: str, journal: Journal, console: Console) -> State:
    """What a predecessor has left to do, or a new beginning."""
    digest = hashlib.sha256(plan.encode()).hexdigest()[:16]
    kept = file.load()
    if kept is None or kept.phase.over:
        journal.begin()
        file.forget_wish()
        return State(phase=Phase.STEP, salt=new_salt(), plan=digest, started_s=time.time())
    if kept.plan != digest and kept.phase is not Phase.ABORT and not file.is_abort_wished:
        message = f"{file.path}: another plan is half done; expected the same settings, or `interlock roll abort` first"
        raise UsageError(message)
    console.note(f"going on with the rollout that was at step {kept.step + 1} ({kept.phase})")
    return kept


def _keep(project: Project, outcome: Outcome) -> None:
    """Leaves evidence of what was seen."""
    settings = project.document.name
    path = project.root / settings
    claim = Evidence(
        kind="roll",
        verdict=outcome.verdict,
        subjects={settings: git_blob(path.read_bytes() if path.is_file() else None)},
        made_at=datetime.now(UTC),
        command=("interlock", "roll", "start"),
        found=found(outcome),
    )
    evidence.write(claim, project.root)
