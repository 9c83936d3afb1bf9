"""Runs tests with pytest, and tells what its exit code and its output say, and what they do not.

Only a test that fails has noticed something. That pytest was interrupted, was not asked right or found no test says nothing of
the code, but where the planted code itself cannot be imported: nobody would ship that, whatever the tests are.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from interlock.core.errors import WorldError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# One test may be several: a parametrised one is asked for by its name alone.
_PASSED: Final = re.compile(r"^(?:=+ )?\d+ passed\b(?!.*\b(?:skipped|deselected|xfailed|xpassed|failed|error))", re.MULTILINE)
_FAILED: Final = re.compile(r"\b\d+ (?:failed|errors?)\b")
_SKIPPED: Final = re.compile(r"\b\d+ (?:skipped|deselected|xfailed|xpassed)\b")
_NOT_IMPORTED: Final = re.compile(r"ERROR collecting |ImportError while loading conftest ")
_UNCOLOURED: Final = {"PY_COLORS": "0", "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}
# Source: https://docs.pytest.org/en/stable/reference/exit-codes.html
_MEANINGS: Final = {
    2: "it was interrupted",
    3: "an internal error of pytest",
    4: "it was not asked right, or a test could not be imported",
    5: "it found no test",
}
NOT_THERE: Final = "there is no such test"


def flaw(done: tuple[int, str]) -> str:
    """Why a test does not count as one that passes: a test that is skipped guards nothing."""
    code, output = done
    if code == 0 and _PASSED.search(output):
        return ""
    if code == 0:
        return (
            "it is skipped" if _SKIPPED.search(output) else "it ends well and does not say `1 passed`: is it asked to be quiet?"
        )
    if code != 1 and _NOT_IMPORTED.search(output):
        return "it cannot be imported"
    return {1: "it fails", 4: NOT_THERE, 5: NOT_THERE}.get(code, f"it ends with {code}")


def noticed(path: str, folder: Path, done: tuple[int, str]) -> tuple[bool | None, str]:
    """Whether tests that passed before have noticed what was planted in a file, and how; None if that cannot be told.

    Args:
        path: The file, relative to where the tests ran.
        folder: Where the tests ran.
        done: The exit code and output of the tests.
    """
    code, output = done
    if code == 0:
        return False, "no test fails"
    if code == 1 and _FAILED.search(output):
        return True, "a test fails"
    around = "|".join(re.escape(f"{place}/") for place in (folder, folder.resolve()))
    is_in_traceback = re.search(rf"(?<![\w./-])(?:{around})?{re.escape(path)}(?::\d|\", line \d)", output) is not None
    if code in {2, 4} and _NOT_IMPORTED.search(output) and is_in_traceback:
        return True, "it cannot be imported with it"
    what = f"killed by signal {-code}" if code < 0 else _MEANINGS.get(code, "which test failed is not said")
    return None, f"the tests ended with {code} ({what})"


def run(command: Sequence[str], ids: Sequence[str], folder: Path, ends_s: float) -> tuple[int, str]:
    """The exit code and output of some tests.

    Raises:
        TimeoutError: If the time is over. What was started ends with it.
        WorldError: If the command is not there.
    """
    # No byte code: a mutant of the same size and second must not be overlooked. No colours: what is printed is read.
    environment = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"} | _UNCOLOURED
    try:
        process = subprocess.Popen(  # noqa: S603 - the team's own command.
            [*command, *ids],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        message = f"{shlex.join(command)} cannot be started: {error.strerror}; [tests] command says how tests are run"
        raise WorldError(message) from error
    try:
        output, _ = process.communicate(timeout=max(0.0, ends_s - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode, output.decode(errors="replace")
