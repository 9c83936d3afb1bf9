"""The tests that must exist, as they were before the change altered them, on the change.

A change can weaken the tests that it is held against: in their own files, in the `conftest.py` and the settings of pytest
around them, in what they import. So where it alters one of these, the tests are run once more with all test code as it was.
Where one does not pass then, the change may well be right, and only a person can say so.

It can also bring a module that Python takes for pytest, or for something that pytest imports. What that one says, pytest
never said.
"""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from interlock.core.evidence import git_blob
from interlock.gate.test_audit.running import NOT_THERE, flaw
from interlock.source.module import is_test_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from interlock.check.repository import Change as Difference
    from interlock.gate.change import Change
    from interlock.gate.test_audit.declared import MustTest

_AROUND: Final = (
    *("conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml"),
    *("pyproject.toml", "tox.ini", "setup.cfg"),
)
_RUNNER: Final = frozenset({"pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments"})


@dataclass(frozen=True, slots=True)
class Before:
    """What came of it."""

    altered: Mapping[str, str]  # what the change altered of the tests: path -> git blob id as it was; empty if it was not there
    tests: Mapping[str, str]  # id of a test that was there -> why it does not pass; empty if it does

    @property
    def doubts(self) -> list[str]:
        """The tests that do not pass as they were, a line each."""
        altered = ", ".join(self.altered)
        told = f"as it was before the change altered {altered}: a person has to agree that it guards as much"
        return [f"{name}: {why}, {told}" for name, why in self.tests.items() if why]

    def as_facts(self) -> dict[str, Any]:
        """For the evidence."""
        return {"altered": dict(self.altered), "tests": dict(self.tests)}


def altered(change: Change, musts: Sequence[MustTest]) -> dict[str, str]:
    """What the change alters of the tests that must exist and were there: path -> git blob id as it was."""
    were = change.repository.contents(change.start, sorted({must.path for must in musts}))
    around = {
        f"{folder}/{name}".removeprefix("./") for path in were for folder in PurePosixPath(path).parents for name in _AROUND
    }
    bearing = [one.path for one in change.differences if one.path in {*were, *around} or _is_drawn_on(one)] if were else []
    contents = change.repository.contents(change.start, bearing)
    return {path: git_blob(contents.get(path)) for path in bearing}


def _is_drawn_on(difference: Difference) -> bool:
    """Whether tests may import a file that differs. Of what is new they import helpers, and no other test."""
    name = difference.path.rpartition("/")[2]
    is_new_test = difference.status == "A" and (name.startswith("test_") or name.endswith("_test.py"))
    return is_test_path(difference.path) and not is_new_test


def impostors(change: Change) -> list[str]:
    """The files of the change that Python imports from the top of the project where pytest means something else."""
    tops = {f"{name}{ending}": name for name in (*_RUNNER, *sys.stdlib_module_names) for ending in (".py", "/__init__.py")}
    known = change.repository.contents(change.start, [path for path in change.paths if path in tops])
    there = change.repository.contents(change.head, [path for path in change.paths if path in tops])
    return [path for path in there if path not in known or tops[path] in _RUNNER]


def before(change: Change, musts: Sequence[MustTest], run: Callable[[Sequence[str], Path], tuple[int, str]]) -> Before | None:
    """Runs them so; None if the change alters nothing of them.

    Args:
        change: The change.
        musts: The tests that must exist.
        run: Gives exit code and output of tests, by their ids, in a folder.
    """
    touched = altered(change, musts)
    if not touched:
        return None
    were = change.repository.contents(change.start, sorted({must.path for must in musts}))
    with TemporaryDirectory(prefix="interlock-before-") as name:
        change.repository.lay_out(change.head, Path(name))
        _put_back(change, {path for path in change.paths if is_test_path(path)} | set(touched), Path(name))
        there = [must for must in musts if must.path in were and _is_named(must, were[must.path])]
        found = {must.id: flaw(run([must.id], Path(name))) for must in there}
    return Before(touched, {test: why for test, why in found.items() if why != NOT_THERE})  # One that is new weakens nothing.


def _is_named(must: MustTest, content: bytes) -> bool:
    """Whether a file can hold a test. One that does not even name it cannot, though it may not be importable on the change."""
    name = must.id.rpartition("::")[2].partition("[")[0]
    return re.search(rb"\b%s\b" % re.escape(name.encode()), content) is not None


def _put_back(change: Change, paths: set[str], folder: Path) -> None:
    """Makes files what they were before the change; those that were not there go."""
    contents = change.repository.contents(change.start, sorted(paths))
    for path in sorted(paths - contents.keys()):
        if not any(around.is_symlink() for around in _within(folder, path)):
            (folder / path).unlink(missing_ok=True)
    for path, content in contents.items():
        place = folder / path
        for around in (*_within(folder, path), place):
            if around.is_symlink():  # Through it, one would write wherever the change wants.
                around.unlink()
        if place.is_dir():
            shutil.rmtree(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def _within(folder: Path, path: str) -> list[Path]:
    """The folders around a file, the outermost first."""
    return [folder / around for around in reversed(PurePosixPath(path).parents) if around.parts]
