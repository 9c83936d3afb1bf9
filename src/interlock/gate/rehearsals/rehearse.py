"""Carries a rollback out in an environment: runs each step, times it, and looks at version and health before and after.

Written down is not rehearsed. What counts is that the commands ran, that another version serves afterwards, that it is well,
and how long that took.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import asdict, dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final, cast

from interlock.core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from interlock.gate.rehearsals.declared import Environment

_ASK_TIMEOUT_S: Final = 5.0
_ASK_EVERY_S: Final = 0.25
_IN_A_ROW: Final = 4


@dataclass(frozen=True, slots=True)
class Seen:
    """What an environment said of itself."""

    version: str  # empty if it did not say
    is_well: bool
    artifact: str = ""  # the image that serves, if it said so


@dataclass(frozen=True, slots=True)
class Step:
    """One command as it went."""

    command: str
    exit_code: int | None  # None if it was stopped because time was up
    seconds: float
    output_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """All of it."""

    environment: str
    version_url: str  # where it was looked: another project's environment may be called the same
    health_url: str
    before: Seen
    after: Seen
    is_settled: bool  # whether the same answer came several times in a row
    steps: tuple[Step, ...]
    seconds: float  # from the first command until the old version was seen to serve, and to be well
    within_s: float
    expected_version: str  # empty: any other than before

    @property
    def verdict(self) -> Verdict:
        """Pass only if all of it was seen."""
        if not self.before.version:
            return Verdict.UNKNOWN
        return Verdict.FAIL if self.flaw else Verdict.PASS

    @property
    def flaw(self) -> str:
        """What went wrong first; nothing, if nothing did."""
        for step in self.steps:
            if step.exit_code is None:
                return f"`{step.command}` was not done within {self.within_s:g} s"
            if step.exit_code:
                return f"`{step.command}` ended with {step.exit_code}"
        if not self.after.version:
            return "afterwards, no version was told"
        if self.expected_version and self.after.version != self.expected_version:
            return f"afterwards {self.after.version} serves, expected {self.expected_version}"
        if self.after.version == self.before.version:
            return f"afterwards {self.after.version} serves, as before: nothing was rolled back"
        if not self.after.is_well:
            return f"afterwards {self.after.version} serves, and is not well"
        return "" if self.is_settled else f"afterwards {self.after.version} serves now and then: not every instance is back"

    def as_facts(self) -> dict[str, Any]:
        """For the evidence."""
        return {**asdict(self), "steps": [asdict(step) for step in self.steps], "flaw": self.flaw}


def rehearse(
    environment: Environment,
    commands: Sequence[Sequence[str]],
    within_s: float,
    expected_version: str,
    say: Callable[[str], None],
) -> Rehearsal:
    """Rehearses it. The commands change the environment; nothing is undone.

    Args:
        environment: Where.
        commands: The steps, in order; the first that fails is the last.
        within_s: How long all of it may take.
        expected_version: What must serve afterwards; empty for any other version than before.
        say: Is told of each step.
    """
    before = _seen(environment)
    say(f"{environment.name}: {before.version or 'no version told'}, {'well' if before.is_well else 'not well'}")
    began_s = time.monotonic()
    steps: list[Step] = []
    for command in commands if before.version else ():
        say(f"running {shlex.join(command)}")
        steps.append(_run(command, began_s + within_s - time.monotonic()))
        if steps[-1].exit_code != 0:
            break
    after, is_settled = _settled(environment, before, expected_version, began_s + within_s)
    return Rehearsal(
        environment=environment.name,
        version_url=environment.version_url,
        health_url=environment.health_url,
        before=before,
        after=after,
        is_settled=is_settled,
        steps=tuple(steps),
        seconds=round(time.monotonic() - began_s, 3),
        within_s=within_s,
        expected_version=expected_version,
    )


def _run(command: Sequence[str], left_s: float) -> Step:
    began_s = time.monotonic()
    exit_code: int | None
    try:
        process = subprocess.Popen(  # noqa: S603 - the team's own commands, as it gave them.
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        output, exit_code = str(error).encode(), 127  # As a shell says it.
    else:
        output, exit_code = _ended(process, left_s)
    digest = hashlib.sha256(output).hexdigest()
    return Step(shlex.join(command), exit_code, round(time.monotonic() - began_s, 3), digest)


def _ended(process: subprocess.Popen[bytes], left_s: float) -> tuple[bytes, int | None]:
    """What a command printed, and how it ended; when its time is up, whatever it has started ends with it."""
    try:
        return process.communicate(timeout=max(0.0, left_s))[0], process.returncode
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0], None


def _settled(environment: Environment, before: Seen, expected_version: str, ends_s: float) -> tuple[Seen, bool]:
    """What the environment says once it has said several times that the right version is well, or else at the end of the time.

    While instances are replaced one after the other, both versions answer by turns: once is no rollback.
    """
    in_a_row = 0
    while True:
        seen = _seen(environment)
        is_right = seen.version == expected_version if expected_version else seen.version not in {"", before.version}
        in_a_row = in_a_row + 1 if is_right and seen.is_well else 0
        if in_a_row == _IN_A_ROW or time.monotonic() >= ends_s or not before.version:
            return seen, in_a_row == _IN_A_ROW
        time.sleep(_ASK_EVERY_S)


def _seen(environment: Environment) -> Seen:
    _, body = _asked(environment.version_url)
    code, _ = _asked(environment.health_url)
    return Seen(_version(body), 200 <= code < 300, str(_table(body).get("image", ""))[:300])  # noqa: PLR2004 - success, in HTTP.


def _version(body: bytes) -> str:
    """The version in an answer: a JSON object's `version`, else its text."""
    table = _table(body)
    text = str(table["version"]) if "version" in table else body.decode(errors="replace")
    return text.strip()[:200]


def _table(body: bytes) -> dict[str, object]:
    """The JSON object in an answer; an empty one, if it is something else."""
    try:
        told: object = json.loads(body)
    except ValueError:
        told = None
    return cast("dict[str, object]", told) if isinstance(told, dict) else {}


def _asked(url: str) -> tuple[int, bytes]:
    """The status and body of an answer; 0 and nothing, if there was none."""
    try:
        with urllib.request.urlopen(url, timeout=_ASK_TIMEOUT_S) as answer:  # noqa: S310 - the team's own address.
            return answer.status, answer.read(10_000)
    except urllib.error.HTTPError as error:
        return error.code, b""
    except (OSError, ValueError, HTTPException):
        return 0, b""
