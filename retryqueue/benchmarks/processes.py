"""The environments that the queues are installed in, and the processes that run their adapters."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import venv
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers import OURS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent
ENVIRONMENTS = HERE / ".venvs"
LIMIT_S = 120.0


class PeerFailedError(Exception):
    """An adapter's process ended with an error; the text is the last line of what it said."""


def environment_of(name: str) -> str:
    """Which of the requirement files the queue called `name` is installed from."""
    return {OURS: OURS, "arq": "arq"}.get(name, "peers")


def prepare(names: Sequence[str]) -> dict[str, str]:
    """Makes the environments that are missing or out of date; answers the last line of the error where one could not be."""
    failed: dict[str, str] = {}
    for environment in sorted({environment_of(name) for name in names}):
        try:
            _install(environment)
        except subprocess.CalledProcessError as error:
            failed[environment] = _last_line(error.stderr.decode())
    return failed


def ask(name: str, url: str, command: str, **given: Any) -> Any:  # noqa: ANN401 - JSON has no narrower type.
    """Runs one errand of an adapter in a process of its own. Raises PeerFailedError."""
    try:
        done = subprocess.run(  # noqa: S603 - Our own program.
            _command(name, url, command, given), cwd=PACKAGE, capture_output=True, check=False, timeout=LIMIT_S + 60
        )
    except subprocess.TimeoutExpired as error:
        problem = f"{command} was not done in {error.timeout:.0f} s"
        raise PeerFailedError(problem) from error
    if done.returncode:
        raise PeerFailedError(_last_line(done.stderr.decode()))
    return json.loads(done.stdout.decode().splitlines()[-1])


class Worker:
    """A worker's process; `said` is the file with what it wrote."""

    def __init__(self, name: str, url: str, said: Path, **given: Any) -> None:  # noqa: ANN401 - JSON has no narrower type.
        self._said = said
        with said.open("ab") as file:
            self._process = subprocess.Popen(  # noqa: S603 - Our own program; a session of its own, so that all of it can be killed.
                _command(name, url, "work", given), cwd=PACKAGE, stdout=file, stderr=file, start_new_session=True
            )

    def check(self) -> None:
        """Raises PeerFailedError when it has ended."""
        if self._process.poll() is not None:
            problem = f"the worker ended: {_last_line(self._said.read_text(errors='replace'))}"
            raise PeerFailedError(problem)

    def kill(self) -> float:
        """SIGKILL for the worker and all that it started; answers when (monotonic clock, seconds)."""
        killed_s = time.monotonic()
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
        return killed_s


@contextmanager
def working(name: str, url: str, folder: Path, part: str, expected: int = 0) -> Iterator[Worker]:
    """A worker for this part with its witness in `folder`, killed at the end."""
    worker = Worker(name, url, folder / "said", part=part, expected=expected, witness=str(folder / "witness"))
    try:
        yield worker
    finally:
        worker.kill()


def _command(name: str, url: str, command: str, given: dict[str, Any]) -> list[str]:
    return [str(_python(environment_of(name))), "-m", "benchmarks.peers", name, url, command, json.dumps(given)]


def _python(environment: str) -> Path:
    return ENVIRONMENTS / environment / "bin" / "python"


def _install(environment: str) -> None:
    requirements = HERE / f"requirements-{environment}.txt"
    ours = [PACKAGE / "pyproject.toml"] if environment == OURS else []
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in [requirements, *ours])).hexdigest()
    mark = ENVIRONMENTS / environment / "installed-from"
    if mark.exists() and mark.read_text() == wanted:
        return
    sys.stderr.write(f"installing {requirements.name} ...\n")
    venv.create(ENVIRONMENTS / environment, with_pip=True, clear=True)
    source = ["-e", str(PACKAGE)] if ours else []
    command = [str(_python(environment)), "-m", "pip", "install", "--quiet", "-r", str(requirements), *source]
    subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - The environment's own pip.
    mark.write_text(wanted)


def _last_line(text: str) -> str:
    said = [line.strip() for line in text.splitlines() if line.strip()]
    return said[-1] if said else "ended without a word"
