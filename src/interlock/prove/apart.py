"""Runs programs in a Python of their own, for those who cannot lend theirs: the threads of a Dask worker.

There the contract is found again by its file and name, so that file must be there too. What is sent back is small: what was
seen, and the first violation.
"""

from __future__ import annotations

import inspect
import os
import pickle
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from interlock.core.errors import InterlockError, UsageError, WorldError

if TYPE_CHECKING:
    from interlock.prove.contract import Contract
    from interlock.prove.programs import Program
    from interlock.prove.proof import Findings

_START_S = 30.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a contract is found.

    Attributes:
        path: Its file.
        name: Its name there.
        folders: Where its imports are looked for.
    """

    path: str
    name: str
    folders: tuple[str, ...]

    @classmethod
    def of(cls, contract: Contract) -> Address:
        """The address of a contract.

        Raises:
            UsageError: If it has none, because it was made inside of a function.
        """
        if "<locals>" in getattr(contract.arrange, "__qualname__", "<locals>"):
            raise UsageError(f"{contract.name} is made inside of a function, where no other process finds it")
        path = Path(inspect.getfile(contract.arrange)).resolve()
        return cls(str(path), contract.name, tuple(folder or str(Path.cwd()) for folder in sys.path))


def moods(where: Address) -> tuple[str, ...]:
    """The provider's moods in a contract."""
    return cast("tuple[str, ...]", _asked(where, None, 0.0))


def carried_out(where: Address, programs: tuple[Program, ...], left_s: float) -> list[Findings]:
    """What programs have shown."""
    return cast("list[Findings]", _asked(where, programs, left_s))


def _asked(where: Address, programs: tuple[Program, ...] | None, left_s: float) -> object:
    """What another Python answers.

    Raises:
        InterlockError: What was raised there.
    """
    question = pickle.dumps((where, programs, left_s))
    command = [sys.executable, "-m", "interlock.prove.apart"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(where.folders)}
    try:
        done = subprocess.run(
            command, input=question, env=environment, capture_output=True, timeout=left_s + _START_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise WorldError("a process that ran schedules gave no answer") from None
    if done.returncode:
        raise WorldError(f"a process that ran schedules has failed: {done.stderr.decode(errors='replace')[-500:]}")
    answer: object = pickle.loads(done.stdout)  # noqa: S301 - written by a process of our own.
    if isinstance(answer, InterlockError):
        raise answer
    return answer


def _main() -> None:
    """Answers one question."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What the module prints is no answer.
    question = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by a process of our own.
    try:
        answer: object = _answered(*question)
    except InterlockError as error:
        answer = error
    with answers:
        pickle.dump(answer, answers)


def _answered(where: Address, programs: tuple[Program, ...] | None, left_s: float) -> object:
    from interlock.prove.bench import bench  # noqa: PLC0415 - not needed by those who ask.
    from interlock.prove.loading import contracts_in  # noqa: PLC0415 - as above.
    from interlock.prove.proof import Findings  # noqa: PLC0415 - as above.
    from interlock.prove.watchdog import NoAnswer, supervised  # noqa: PLC0415 - as above.

    [contract] = contracts_in(Path(where.path), where.name)
    ends_at_s = time.monotonic() + (left_s if programs else _START_S)

    def answer(_: object) -> object:
        with bench(contract) as own:
            return own.moods() if programs is None else own.in_turn(programs, ends_at_s)

    try:
        return supervised(answer, ends_at_s, lambda _: None)
    except NoAnswer as error:
        return [Findings(lost=str(error))]


if __name__ == "__main__":
    _main()
