"""Takes a release back: the team's own commands, and what shows that it worked.

A rollback that nobody has looked at is a hope. So it is seen three times: the commands end well, the old version answers by its
own name, and failures are as rare again as they were.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from interlock.core.errors import WorldError
from interlock.core.verdict import Verdict
from interlock.roll.fetching import fetched
from interlock.roll.judge import Arm
from interlock.roll.listening import Totals

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from interlock.roll.listening import Listening

_ASKED: Final = 5  # Times, each on a connection of its own: more than one process may answer.
_TRIED: Final = 3 * _ASKED  # A service that fails now and then is still the old one.
_DEADLINE_S: Final = 5.0
_TAIL: Final = 400  # Characters of what a command said.
_RECOVERED_REQUESTS: Final = 20
_BACKGROUND: Final = 0.01  # Failures that are no news: as many again as before, and one in a hundred.


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One thing that was done or looked at."""

    what: str
    verdict: Verdict
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """What a team declares: [roll.rollback]."""

    commands: tuple[str, ...] = ()
    command_timeout_s: float = 300.0
    version_url: str = ""  # asked through the router
    version: str = ""  # what its answer holds, in a header or in its body, when the old version serves
    recover_s: float = 60.0  # how long to look for the recovery


def run(command: str, folder: Path, timeout_s: float) -> Done:
    """Runs one command of the team's, in the project's folder."""
    try:
        done = subprocess.run(  # noqa: S603 - the team's own command, declared in its settings.
            shlex.split(command),
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return Done(what=command, verdict=Verdict.FAIL, found=str(error))
    said = (done.stdout + done.stderr).strip()[-_TAIL:]
    return Done(
        what=command, verdict=Verdict.FAIL if done.returncode else Verdict.PASS, found=f"exit {done.returncode}. {said}".strip()
    )


def serves(rollback: Rollback) -> Done:
    """Whether the old version answers."""
    what = "the old version serves"
    if not rollback.version_url or not rollback.version:
        return Done(what=what, verdict=Verdict.UNKNOWN, found="no version_url and version are declared")
    answered, trouble = 0, ""
    for _ in range(_TRIED):
        try:
            headers, body = fetched(rollback.version_url, _DEADLINE_S)
        except WorldError as error:
            trouble = str(error)
            continue
        if not re.search(_whole(rollback.version), f"{headers}\n{body.decode(errors='replace')}"):
            found = f"{rollback.version_url} does not say {rollback.version!r}"
            return Done(what=what, verdict=Verdict.FAIL, found=found)
        answered += 1
        if answered == _ASKED:
            break
    else:
        return Done(
            what=what, verdict=Verdict.FAIL, found=f"{rollback.version_url} answered {answered} of {_TRIED} times: {trouble}"
        )
    return Done(what=what, verdict=Verdict.PASS, found=f"{_ASKED} answers say {rollback.version!r}")


def _whole(version: str) -> str:
    """Finds a version, and not another one that begins or ends alike: `v4` is neither in `v41` nor in `v4.1`."""
    return rf"(?<!\w)(?<!\w\.){re.escape(version)}(?!\.?\w)"


def recovered(listening: Listening, within_s: float, tick_s: float, clock: Callable[[], float]) -> Done:
    """Whether failures are as rare as the baseline's were, and nobody is served by the canary."""
    what, found, verdict = "the metric has recovered", "no requests were heard of", Verdict.UNKNOWN
    before = listening.totals
    served = before.requests[Arm.BASELINE]
    usual = before.failed[Arm.BASELINE] / served if served else 0.0
    listening.hear(clock())  # What was under way when the canary was closed.
    deadline_s = clock() + within_s
    while clock() < deadline_s:
        totals = _heard_anew(listening, deadline_s, tick_s, clock)
        rate = totals.failure_rate()
        if rate is None:
            continue
        requests = sum(totals.requests.values())
        found = f"{rate:.2%} of {requests} requests failed, {usual:.2%} is usual"
        good = rate <= 2 * usual + _BACKGROUND and not totals.requests[Arm.CANARY]
        if good and requests >= _RECOVERED_REQUESTS:
            return Done(what=what, verdict=Verdict.PASS, found=found)
        verdict = Verdict.UNKNOWN if good else Verdict.FAIL
    return Done(what=what, verdict=verdict, found=found)


def _heard_anew(listening: Listening, deadline_s: float, tick_s: float, clock: Callable[[], float]) -> Totals:
    """What is served from now on, for a second and until it is enough to tell of."""
    totals = listening.totals = Totals()
    until_s = min(deadline_s, clock() + max(1.0, 4 * tick_s))
    while (now_s := clock()) < until_s or (sum(totals.requests.values()) < _RECOVERED_REQUESTS and now_s < deadline_s):
        time.sleep(tick_s)
        listening.hear(clock())
    return totals
