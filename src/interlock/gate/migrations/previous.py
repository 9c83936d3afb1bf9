"""Proof 2, the code goes back alone: the tests of the release before, on the schema of this one.

They run on their own schema first. Tests that are red there prove nothing, and neither do tests that never come near a table
that the change alters.
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
from interlock.gate.migrations.process import declared, end, started, surroundings
from interlock.gate.migrations.snapshot import schema_differences, short, taken

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from interlock.gate.migrations.declared import Migrations
    from interlock.gate.migrations.server import Database, Server

_SHOWN: Final = 4  # lines of what the tests say
_TELLING: Final = re.compile(r"E\s|FAILED |ERROR |[\w.]+(Error|Exception|Violation|Undefined\w+): ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """What the tests of the release before say.

    Attributes:
        verdict: Whether the old code runs on the new schema.
        told: In one line.
        output: The lines of the tests that tell most.
        seconds: How long they took on both schemas.
    """

    verdict: Verdict
    told: str
    output: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRun:
    """How the tests of the release before are run.

    Attributes:
        settings: What is declared of them.
        python: The interpreter.
        tree: Their release, laid out.
        url: The form of the database's address, with {database} in it.
    """

    __test__ = False  # For pytest: it is no test itself.

    settings: Migrations
    python: str
    tree: Path
    url: str

    def run(self, database: Database) -> tuple[int | None, list[str]]:
        """Runs them on a database; answers with the exit code (None: they were not done in time) and the lines that tell most.

        Raises:
            WorldError: If they cannot be started.
        """
        command = [self.python if word == "python" and not place else word for place, word in enumerate(self.settings.tests)]
        environment = surroundings(self.settings, self.python, self.tree)
        environment |= declared(self.settings, database, self.url)
        process = started(command, self.tree / self.settings.folder, environment, subprocess.DEVNULL, subprocess.STDOUT)
        try:
            output, _ = process.communicate(timeout=self.settings.within_s)
            code: int | None = process.returncode
        except subprocess.TimeoutExpired:
            output, code = b"", None
        finally:
            end(process)
        lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
        return code, [line for line in lines if _TELLING.match(line)][:_SHOWN] or lines[-_SHOWN:]


def tried(tests: TestRun, server: Server, old: Database, new: Database, alters: Collection[str]) -> Previous:
    """Runs the tests on the old schema, and on the new one.

    Args:
        tests: How they are run.
        server: Where both are.
        old: A database with the schema of the release before.
        new: One with the schema of the change.
        alters: The tables of the old schema that the change alters; the tests must come near each of them.
    """
    began_s = time.monotonic()
    verdict, told, output = _control(tests, server, old, alters)
    if verdict is Verdict.PASS:
        verdict, told, output = _on_the_new(tests, server, new)
    return Previous(verdict=verdict, told=told, output=tuple(output), seconds=round(time.monotonic() - began_s, 3))


def _control(tests: TestRun, server: Server, old: Database, alters: Collection[str]) -> tuple[Verdict, str, list[str]]:
    """Whether the tests can tell anything: pass, if they can."""
    command = shlex.join(tests.settings.tests)
    copies = _where_tests_look(tests, server, old)
    code, output = tests.run(old)
    if code != 0:
        return Verdict.UNKNOWN, f"`{command}` {_ended(code)} on the previous release's own schema", output
    server.leave(*copies)
    if not server.has(copies):
        return Verdict.UNKNOWN, _own_layout(command), output
    touched = {short(table) for copy in copies for table in copy.touched()}
    missed = sorted(set(alters) - touched)
    if missed or not touched:
        tables = ", ".join(missed) or "any table"
        return Verdict.UNKNOWN, f"`{command}` never touches {tables} in the database that it is given as DATABASE_URL", output
    return Verdict.PASS, "", output


def _on_the_new(tests: TestRun, server: Server, new: Database) -> tuple[Verdict, str, list[str]]:
    command = shlex.join(tests.settings.tests)
    wanted = taken(new)
    copies = _where_tests_look(tests, server, new)
    code, output = tests.run(new)
    server.leave(*copies)
    if not server.has(copies) or any(schema_differences(wanted, taken(copy)) for copy in copies):
        return Verdict.UNKNOWN, _own_layout(command), output
    if code is None:
        return Verdict.UNKNOWN, f"`{command}` {_ended(code)} on the new schema", output
    if code:
        return Verdict.FAIL, f"the previous release's tests fail on the new schema: `{command}` {_ended(code)}", output
    return Verdict.PASS, "the previous release's tests pass on the new schema", output


def _where_tests_look(tests: TestRun, server: Server, database: Database) -> list[Database]:
    """The databases that tests may run in. Django's make one of their own, unless it is there already."""
    server.leave(database)
    found = [database, server.test_copy(database)] if tests.settings.django else [database]
    for one in found:
        one.forget_touched()
        one.close()
    return found


def _own_layout(command: str) -> str:
    return f"`{command}` lays out a schema of its own, so it says nothing of the new one (for Django: --keepdb or --reuse-db)"


def _ended(code: int | None) -> str:
    return "is not done in time" if code is None else f"ends with {code}"


def not_tried(why: str) -> Previous:
    """No proof, and why."""
    return Previous(verdict=Verdict.UNKNOWN, told=why)


def tried_or_why(tests: TestRun, server: Server, old: Database, new: Database, alters: Collection[str]) -> Previous:
    """As `tried`; where the tests cannot be started, that is the answer."""
    try:
        return tried(tests, server, old, new, alters)
    except WorldError as error:
        return not_tried(str(error))
