"""`interlock check --hazards`: a team's own hazards, held to what every hazard promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.check.promises import broken_promises
from interlock.core.counting import counted
from interlock.core.errors import UsageError
from interlock.core.verdict import Verdict
from interlock.hazards.own import BrokenHazardError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.cli.console import Console
    from interlock.cli.settings import Project
    from interlock.hazards.own import OwnHazards


def held(project: Project, console: Console) -> int:
    """Prints what they do not keep, and answers with an exit code.

    Raises UsageError if the settings declare none.
    """
    own = project.own_hazards
    if own is None:
        message = f'{project.document.name} declares no hazards of your own; expected [hazards] with folder = "hazards"'
        raise UsageError(message)
    listed = [listing for listing in project.hazards if listing.own]
    broken = [line for listing in listed for line in _broken(own, listing.module_name)]
    if broken:
        console.result("\n".join(broken))
    console.note(f"{counted(len(listed), 'hazard')}, {counted(len(broken), 'broken promise')}, {console.elapsed_s:.2f} s")
    return (Verdict.FAIL if broken else Verdict.PASS).exit_code


def _broken(own: OwnHazards, name: str) -> Iterator[str]:
    try:
        hazard = own.load(name)
    except BrokenHazardError as error:
        yield str(error)
        return
    text = own.texts[name].decode(errors="replace")
    yield from (f"{own.paths[name]}: {hazard.name}: {promise}" for promise in broken_promises(hazard, text))
