"""A team's own hazards: files of the same form, in the team's own repository.

[hazards]
folder = "hazards"          # holds <family>/<name>.py

Their text is taken from the work tree or from a commit, and is run from memory. So the gate runs what the base says, whatever
lies in the work tree, and two versions of a file may be used in one process.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Final, Self

from interlock.core.errors import UsageError
from interlock.core.globs import is_below
from interlock.core.settings import strict
from interlock.hazards.hazard import Hazard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

    from interlock.core.settings import Document

    Files = Callable[[str], Mapping[str, bytes]]

_PACKAGE: Final = "interlock_own_hazards"


class BrokenHazardError(UsageError):
    """A hazard file of a team that cannot be used."""

    def __init__(self, path: str, line: int, what: str) -> None:
        super().__init__(f"{path}:{line}: {what}" if line else f"{path}: {what}")
        self.path: Final = path
        self.line: Final = line  # 0 if it concerns the whole file
        self.what: Final = what


@dataclass(frozen=True, slots=True)
class _Section:
    """What `[hazards]` may hold."""

    folder: str


@dataclass(frozen=True, slots=True)
class OwnHazards:
    """The hazards of a team, not imported yet."""

    folder: str  # relative to the project
    texts: Mapping[str, bytes]  # dotted name below the folder -> what the file says
    paths: Mapping[str, str]  # dotted name below the folder -> path, relative to the project

    @classmethod
    def of(cls, document: Document, files: Files) -> Self | None:
        """The hazards that the settings declare; None if they declare none.

        Args:
            document: The settings.
            files: Gives every Python file below a folder, by its path relative to the project.

        Raises:
            UsageError: If the settings are not right, or no hazard is where they say.
        """
        if "hazards" not in document.tables:
            return None
        folder = strict(document, _Section, document.tables["hazards"], "hazards").folder.rstrip("/")
        if not is_below(folder):
            raise document.fail("folder", f"folder in hazards is {folder!r}; expected one below the project")
        found = dict(files(folder))
        names = {path: path.removeprefix(f"{folder}/").removesuffix(".py").replace("/", ".") for path in sorted(found)}
        own = cls(folder, {name: found[path] for path, name in names.items()}, {name: path for path, name in names.items()})
        for path, name in names.items():
            _hold_in_place(folder, path, name)
        if not own.names:
            raise document.fail("folder", f"there is no hazard below {folder!r}; expected {folder}/<family>/<name>.py")
        return own

    @property
    def names(self) -> tuple[str, ...]:
        """The dotted names of the files that are hazards: `family.name`."""
        return tuple(name for name in self.texts if not is_shared(name))

    @property
    def package(self) -> str:
        """The package under which these very texts are imported."""
        digest = sha256()
        for name, text in self.texts.items():
            digest.update(b"%s\0%d\0%s" % (name.encode(), len(text), text))
        return f"{_PACKAGE}_{digest.hexdigest()[:16]}"

    def load(self, name: str) -> Hazard:
        """One hazard, by its dotted name.

        Raises:
            BrokenHazardError: If its file cannot be imported, or makes no hazard.
        """
        package = self.package
        _FINDER.known[package] = self
        try:
            module = import_module(f"{package}.{name}")
        except (Exception, SystemExit) as error:  # Whatever a file of theirs raises is told; to exit well would be a pass.
            raise self._broken(name, error) from error
        hazard: object = getattr(module, "HAZARD", None)
        if not isinstance(hazard, Hazard):
            raise BrokenHazardError(self.paths[name], 0, "has no HAZARD; expected HAZARD = Hazard(__name__, ...)")
        if hazard.module_name != module.__name__:
            told = f"its HAZARD is made with {hazard.module_name!r}; expected Hazard(__name__, ...)"
            raise BrokenHazardError(self.paths[name], 0, told)
        return hazard

    def _broken(self, name: str, error: BaseException) -> BrokenHazardError:
        """Why a file cannot be imported, with the place in the team's own code."""
        if isinstance(error, SyntaxError) and error.filename in self.paths.values():
            return BrokenHazardError(error.filename or "", error.lineno or 0, f"cannot be parsed: {error.msg}")
        from traceback import extract_tb, format_exception_only  # noqa: PLC0415 - not needed until one is broken.

        own = [frame for frame in extract_tb(error.__traceback__) if frame.filename in self.paths.values()]
        place = (own[-1].filename, own[-1].lineno or 0) if own else (self.paths[name], 0)
        what = format_exception_only(error)[-1].strip().replace(f"{self.package}.", "")
        return BrokenHazardError(*place, f"cannot be imported: {what}")


def is_own(module_name: str) -> bool:
    """Whether a hazard's module is a team's, and none of interlock."""
    return module_name.startswith(_PACKAGE)


def is_shared(name: str) -> bool:
    """Whether a file, by its dotted name or its path, is no hazard itself, but used by those of its family."""
    return re.split(r"[./]", name.removesuffix(".py"))[-1].startswith("_")


def on_disk(root: Path) -> Files:
    """What gives the Python files below a folder of a work tree."""

    def files(folder: str) -> dict[str, bytes]:
        found = sorted(path for path in (root / folder).rglob("*.py") if path.is_file() and not path.is_symlink())
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}

    return files


def _hold_in_place(folder: str, path: str, name: str) -> None:
    """Raises BrokenHazardError if a file is not where a hazard may be."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts) or path.count("/") - folder.count("/") != len(parts):
        raise BrokenHazardError(path, 0, "its name cannot be imported; expected lower-case words, with _ between them")
    if len(parts) != 2 and not is_shared(name):  # noqa: PLR2004 - family and name.
        told = f"is no hazard there; expected {folder}/<family>/<name>.py, or a name that begins with _ for what is shared"
        raise BrokenHazardError(path, 0, told)


class _Finder:
    """Finds modules whose text is in memory. One for the process, among `sys.meta_path`."""

    def __init__(self) -> None:
        self.known: dict[str, OwnHazards] = {}

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002 - as Python calls it.
        package, _, rest = name.partition(".")
        own = self.known.get(package)
        if own is None:
            return None
        inside = next((found for found in _spellings(rest) if found in own.texts), None)
        is_package = not rest or any(found.startswith(f"{rest}.") for found in own.texts)
        if inside is None and not is_package:
            return None
        loader = _Loader(own.texts[inside], own.paths[inside]) if inside else _Loader(b"", f"<the family {rest}>")
        return ModuleSpec(name, loader, origin=loader.path, is_package=is_package)


def _spellings(name: str) -> Iterator[str]:
    """What a module may be called below the folder: itself, or what makes a folder a package."""
    if name:
        yield name
    yield f"{name}.__init__".lstrip(".")


class _Loader(Loader):
    """Runs one text as a module."""

    def __init__(self, text: bytes, path: str) -> None:
        self._text = text
        self.path = path

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:  # noqa: ARG002 - as Python calls it.
        """None: a module like any other."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Runs the text in the module's own namespace."""
        exec(compile(self._text, self.path, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - to be run is what it is for.


_FINDER: Final = _Finder()
sys.meta_path.append(_FINDER)
