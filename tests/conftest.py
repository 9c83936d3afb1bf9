"""What every test may use: a git repository to try things in, and the command as users run it.

Nobody's git settings but ours are in force, and no repository around the temporary folder is seen.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

import interlock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from interlock.check.repository import Repository

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCE = Path(interlock.__file__).resolve().parent.parent

# Started in the background by a shell, the tests would ignore Ctrl-C, and so would every program that they stop with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("every change", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=5000)  # For a night: --hypothesis-profile=search.
settings.load_profile("every change")

_ALONE = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@shop.example",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@shop.example",
    "GIT_AUTHOR_DATE": "2024-10-17T12:00:00+00:00",
    "GIT_COMMITTER_DATE": "2024-10-17T12:00:00+00:00",
}


@pytest.fixture(scope="session", autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Takes away what the machine's own settings could change."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("GIT_", "PYTHON"))] + ["NO_COLOR", "TERM"]:
            patch.delenv(name, raising=False)
        for name, value in _ALONE.items():
            patch.setenv(name, value)
        patch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path_factory.getbasetemp().parent))
        patch.setenv("PYTHONPATH", str(SOURCE))
        yield


class Git:
    """A git repository to try things in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self("init", "--quiet", "--template=", "--initial-branch=main")

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, capture_output=True, encoding="utf-8", errors="surrogateescape", check=False
        )
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def write(self, files: Mapping[str, str | bytes | None]) -> None:
        """Writes files into the work tree; None removes one."""
        for name, content in files.items():
            path = self.root / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(self, files: Mapping[str, str | bytes | None] | None = None) -> str:
        """Writes files, commits everything, and gives the commit's name."""
        self.write(files or {})
        self("add", "--all")
        self("commit", "--quiet", "--allow-empty", "--message=a change")
        return self("rev-parse", "HEAD")

    def branch(self, name: str, start: str = "main") -> None:
        """Checks a new branch out."""
        self("checkout", "--quiet", "-b", name, start)

    @property
    def repository(self) -> Repository:
        """The same repository, as interlock sees it."""
        from interlock.check.repository import Repository  # noqa: PLC0415 - most tests need none.

        found = Repository.around(self.root)
        assert found is not None
        return found


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """An empty repository."""
    return Git(tmp_path / "repository")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a program gave back."""

    code: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """The lines of stderr, without the closing line of facts."""
        lines = self.err.splitlines()
        return lines[:-1] if lines and lines[-1].endswith(" s") else lines


@dataclass(frozen=True, slots=True)
class Interlock:
    """The command as users run it: another process, whose output is no terminal."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, folder: Path | None = None) -> Ran:
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=folder or self.folder,
            env={**os.environ, **self.environment},
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        return Ran(code=done.returncode, out=done.stdout, err=done.stderr)

    @property
    def command(self) -> Sequence[str]:
        """What starts it."""
        return (sys.executable, "-m", "interlock")

    def under(self, **environment: str) -> Interlock:
        """The same with other environment variables."""
        return Interlock(self.folder, {**self.environment, **environment})


@pytest.fixture
def interlock_in(tmp_path: Path) -> Interlock:
    """The command, started in the test's own folder."""
    return Interlock(tmp_path)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's history as a repository, one branch a release."""
    script = REPOSITORY / "examples" / "checkout" / "history.py"
    spec = importlib.util.spec_from_file_location("history_of_the_shop", script)
    assert spec is not None
    assert spec.loader is not None
    history = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = history  # Its dataclasses look themselves up there.
    spec.loader.exec_module(history)
    place = tmp_path_factory.mktemp("history") / "shop"
    history.lay_out(place)
    return place
