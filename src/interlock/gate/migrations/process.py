"""The team's own interpreter, which lists its migrations and moves a database by one. What it may see is little, and ours."""

from __future__ import annotations

import json
import os
import selectors
import shlex
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from interlock.core.errors import WorldError
from interlock.gate.migrations.server import variables

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from interlock.gate.migrations.declared import Migrations
    from interlock.gate.migrations.server import Database

_SCRIPT: Final = Path(__file__).parent / "theirs" / "steps.py"
# Nothing else of our surroundings reaches the team's code: what names a database, or opens one, least of all.
_KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT")
_UNCOLOURED: Final = {"PY_COLORS": "0", "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
_SHOWN: Final = 300
_LIST_S: Final = 120.0  # An interpreter that starts, and loads the team's code.


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration.

    Attributes:
        name: The revision, or app.name.
        parents: Those that must have run before.
        path: Its file, relative to the tree; empty if it lies elsewhere, as one of an installed package does.
    """

    name: str
    parents: tuple[str, ...]
    path: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a migration did not run.

    Attributes:
        kind: The name of the exception.
        message: What it said.
        sqlstate: Postgres's code, if it was Postgres that refused.
        is_own: Whether the migration itself says that there is no way.
        where: `path:line` in the team's tree, as far as it is known.
    """

    kind: str
    message: str
    sqlstate: str = ""
    is_own: bool = False
    where: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}" if self.message else self.kind


class Steps:
    """A running interpreter."""

    def __init__(self, process: subprocess.Popen[bytes], tree: Path, within_s: float, told: Path) -> None:
        self._process = process
        self._tree = tree
        self._within_s = within_s
        self._told = told

    def listed(self) -> tuple[list[Migration], str]:
        """Every migration, parents first, and the address of a {database} in the form that the team's code wants.

        Raises:
            WorldError: If they cannot be listed.
        """
        answer = self._ask({"do": "list"}, max(self._within_s, _LIST_S))
        if "error" in answer:
            error = answer["error"]
            raise WorldError(f"the migrations cannot be listed: {error['kind']}: {error['message']}")
        return [Migration(one["name"], tuple(one["parents"]), self._within(one["path"])) for one in answer["migrations"]], str(
            answer["url"]
        )

    def move(self, migration: Migration, database: Database, *, is_up: bool) -> Refusal | None:
        """Runs one migration on a database, up or down; answers with why it did not run, if it did not.

        Raises:
            WorldError: If the interpreter gives no answer.
        """
        where = {"host": str(database.socket.parent), "database": database.name}
        answer = self._ask({"do": "up" if is_up else "down", "name": migration.name, **where}, self._within_s)
        if "error" not in answer:
            return None
        error = answer["error"]
        path = self._within(error["path"])
        line = f"{path}:{error['line']}" if path else migration.path
        return Refusal(error["kind"], error["message"], error["sqlstate"], error["is_refusal"], line)

    def _within(self, path: str | None) -> str:
        """A path as the repository has it; empty if it lies elsewhere."""
        tree = self._tree.resolve()
        found = Path(path).resolve() if path else tree.parent
        return found.relative_to(tree).as_posix() if found.is_relative_to(tree) else ""

    def _ask(self, order: dict[str, str], within_s: float) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # noqa: S101 - it is a pipe.
        assert stdout is not None  # noqa: S101 - likewise.
        with suppress(BrokenPipeError):
            stdin.write(json.dumps(order).encode() + b"\n")
            stdin.flush()
        line = self._line(stdout.fileno(), within_s)
        if not line:
            last = self._told.read_text(errors="replace").strip()[-_SHOWN:]
            raise WorldError(f"the interpreter of the migrations has ended: {last or 'it said nothing'}")
        return cast("dict[str, Any]", json.loads(line))

    def _line(self, descriptor: int, within_s: float) -> bytes:
        line, ends_s = b"", time.monotonic() + within_s
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, ends_s - time.monotonic())):
                    raise WorldError(f"a migration was not done within {within_s:g} s")
                part = os.read(descriptor, 1 << 16)
                if not part:
                    return b""
                line += part
        return line


@contextmanager
def steps(settings: Migrations, python: str, tree: Path) -> Generator[Steps]:
    """An interpreter that runs a tree's migrations, for as long as the block lasts.

    Raises:
        WorldError: If it cannot be started.
    """
    kind, name = ("alembic", settings.alembic) if settings.alembic else ("django", settings.django)
    environment = surroundings(settings, python, tree) | variables(Path(os.devnull), "none")
    command = [python, str(_SCRIPT), kind, name, json.dumps(["DATABASE_URL={url}", *settings.environment])]
    with tempfile.TemporaryDirectory(prefix="interlock-") as folder:
        told = Path(folder) / "told"
        with told.open("wb") as errors:
            process = started(command, tree / settings.folder, environment, subprocess.PIPE, errors.fileno())
        try:
            yield Steps(process, tree, settings.within_s, told)
        finally:
            end(process)


def surroundings(settings: Migrations, python: str, tree: Path) -> dict[str, str]:
    """The variables that the team's code is given, beside the database and those that are declared: where its own tree lies.

    What is installed as editable comes from another tree, so this one is put in front of it.
    """
    given = {name: os.environ[name] for name in _KEPT if name in os.environ} | _UNCOLOURED
    folder = tree / settings.folder
    paths = [path for path in (folder, folder / "src") if path.is_dir()]
    given["PYTHONPATH"] = os.pathsep.join(map(str, paths))
    given["PATH"] = os.pathsep.join([str(Path(python).parent), given.get("PATH", os.defpath)])
    return given


def declared(settings: Migrations, database: Database, url: str) -> dict[str, str]:
    """The variables that name a database, those that are declared among them."""
    given = variables(database.socket.parent, database.name)
    host = given["PGHOST"]
    words = {"url": url, "host": host, "quoted_host": host.replace("/", "%2F"), "database": given["PGDATABASE"]}
    words["user"] = given["PGUSER"]
    for pair in ("DATABASE_URL={url}", *settings.environment):
        name, _, value = pair.partition("=")
        for word, instead in words.items():
            value = value.replace(f"{{{word}}}", instead)
        given[name] = value
    return given


def started(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], stdin: int, stderr: int
) -> subprocess.Popen[bytes]:
    """A program in a session of its own.

    Raises:
        WorldError: If it cannot be started.
    """
    try:
        return subprocess.Popen(  # noqa: S603 - the team's own interpreter.
            command,
            cwd=folder,
            env=dict(environment),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
    except OSError as error:
        message = f"{shlex.join(command)} cannot be started in {folder.name}: {error.strerror}"
        raise WorldError(message) from error


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a program, with all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
