"""Holds one file against the catalogue.

Cost follows what could possibly match: a search of the bytes decides which hazards concern a file, and the tree is walked only
if one does. Every file is parsed all the same, because a file that cannot be read must be reported.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from interlock.check.suppressions import MARK, Suppressions
from interlock.core.errors import UsageError
from interlock.core.finding import printable
from interlock.source.module import Module, is_test_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from interlock.core.finding import Finding, Location
    from interlock.hazards.catalogue import Listing
    from interlock.hazards.hazard import Hazard

_DEEPEST: Final = 100  # Python allows 1000 calls inside each other, and detectors take several for each level of a tree.


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that kept a file, or a part of it, from being checked: the answer for it is unknown."""

    path: str
    line: int  # 0 if it concerns the whole file
    message: str
    is_ours: bool = False  # a fault of interlock itself

    def __str__(self) -> str:
        """`path:line: what is wrong`."""
        place = f"{printable(self.path)}:{self.line}" if self.line else printable(self.path)
        return f"{place}: {self.message}"


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was seen in one file."""

    findings: list[Finding] = field(default_factory=list["Finding"])
    suppressed: list[Finding] = field(default_factory=list["Finding"])
    problems: list[Problem] = field(default_factory=list["Problem"])
    is_test: bool = False  # test code, which was parsed and not looked at


def inspect(
    path: str,
    content: bytes,
    hazards: Iterable[Hazard | Listing],
    *,
    is_test: bool | None = None,
    is_code: bool = False,
) -> Inspection:
    """Every finding of these hazards in one file. Never raises for what the file contains.

    Test code does not reach production and is only parsed; unless the caller says, the path tells whether a file is test code.
    Where the caller knows that it is code, neither its path nor its imports say otherwise.
    """
    known = tuple(hazards)
    try:
        text = decoded(content)
        concerned = [hazard for hazard in known if hazard.concerns(_as_parsed(content, text))]
        module = Module(path, text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Inspection(problems=[Problem(path=path, line=getattr(error, "lineno", 0) or 0, message=_unreadable(error))])
    if not is_code and ((is_test_path(path) if is_test is None else is_test) or _imports_pytest(module)):
        return Inspection(is_test=True)
    return _held_against(module, concerned, [hazard.name for hazard in known])


def _imports_pytest(module: Module) -> bool:
    """Whether a module cannot be imported without the test runner: fixtures and helpers, wherever they are kept."""
    if "pytest" not in module.text:
        return False
    imports = [node for node in module.tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = [alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names]
    return "pytest" in names or any(isinstance(node, ast.ImportFrom) and node.module == "pytest" for node in imports)


def _as_parsed(content: bytes, text: str) -> bytes:
    """The bytes in which needles are searched: as the parser sees them, to whom a full-width letter is a plain one."""
    if content.isascii() and text.isascii() and len(text) == len(content):
        return content
    from unicodedata import normalize  # noqa: PLC0415 - most files are plain ASCII.

    return normalize("NFKC", text).encode(errors="surrogatepass")


def decoded(content: bytes) -> str:
    """The text of a Python file, by the encoding that it declares (PEP 263).

    Raises SyntaxError or ValueError, which say what is wrong, if it has none that fits.
    """
    if b"\0" in content:
        message = f"a NUL byte at offset {content.index(bytes(1))}; this is not Python source"
        raise ValueError(message)
    try:
        return content.decode(_encoding(content))
    except LookupError as error:  # `rot13` and its like are known to Python, but turn bytes into no text.
        raise ValueError(str(error)) from error


def _encoding(content: bytes) -> str:
    """The declared encoding. Most files declare none, and need no tokenizer to say so."""
    if not content.startswith(b"\xef\xbb\xbf") and b"coding" not in b"".join(content.split(b"\n", 2)[:2]):
        return "utf-8"
    from io import BytesIO  # noqa: PLC0415 - rarely needed.
    from tokenize import detect_encoding  # noqa: PLC0415 - rarely needed.

    return detect_encoding(BytesIO(content).readline)[0]


def _held_against(module: Module, hazards: list[Hazard | Listing], names: list[str]) -> Inspection:
    seen = Inspection()
    suppressions = Suppressions(module)
    for hazard in hazards:
        try:
            found = list(_found(module, hazard.load()))
        except UsageError as error:  # A team's own hazard, whose file is not right.
            seen.problems.append(_broken(hazard, error))
            continue
        except (Exception, SystemExit) as error:  # noqa: BLE001 - one broken detector must not hide what the others see.
            is_too_deep = isinstance(error, RecursionError) and _depth(module.tree) > _DEEPEST
            seen.problems.append(_too_deep(module, hazard) if is_too_deep else _ours(module, hazard, error))
            continue
        for finding in found:
            (seen.suppressed if suppressions.cover(finding) else seen.findings).append(finding)
    ill_written = suppressions.problems(names) if MARK in module.text else ()
    seen.problems.extend(Problem(path=module.path, line=line, message=message) for line, message in ill_written)
    return seen


def _found(module: Module, hazard: Hazard) -> Iterator[Finding]:
    """What a hazard's detectors yield, each place once."""
    places: set[Location] = set()
    for types, detector in hazard.detectors:
        for node in module.nodes(*types):
            for finding in detector(node, module):
                if finding.location not in places:
                    places.add(finding.location)
                    yield finding


def _depth(tree: ast.AST) -> int:
    """How many nodes of a tree stand inside each other."""
    level, depth = [tree], 0
    while level:
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        depth += 1
    return depth


def _too_deep(module: Module, hazard: Hazard | Listing) -> Problem:
    return Problem(path=module.path, line=0, message=f"is nested too deeply to be held against {hazard.name}")


def _broken(hazard: Hazard | Listing, error: UsageError) -> Problem:
    from interlock.hazards.own import BrokenHazardError  # noqa: PLC0415 - most teams have no hazards of their own.

    if isinstance(error, BrokenHazardError):
        return Problem(path=error.path, line=error.line, message=f"{error.what}; nothing is held against {hazard.name}")
    return Problem(path=hazard.name, line=0, message=str(error))


def _ours(module: Module, hazard: Hazard | Listing, error: BaseException) -> Problem:
    """A detector that failed: a fault of interlock itself, or of a team's own hazard, with what a report of it needs."""
    from traceback import extract_tb, format_exception_only  # noqa: PLC0415 - not needed until there is a fault.

    last = extract_tb(error.__traceback__)[-1]
    what = format_exception_only(error)[-1].strip()
    place = f"{last.filename}:{last.lineno}"
    is_ours = hazard.module_name.startswith("interlock.hazards.")
    report = ", please report it" if is_ours else ""
    message = f"the detector of {hazard.name} failed{report}: {what} ({place})"
    return Problem(path=module.path, line=0, message=message, is_ours=is_ours)


def _unreadable(error: BaseException) -> str:
    """Why a file could not be read, in words."""
    match error:
        case SyntaxError(msg=message):
            return f"cannot be parsed by this Python ({_version()}): {message}"
        case UnicodeDecodeError(encoding=encoding, start=start):
            return f"is not {encoding} text (byte {start}), and declares no other encoding"
        case RecursionError() | MemoryError():
            return "is nested too deeply to be parsed"
        case _:
            return f"cannot be parsed: {error}"


def _version() -> str:
    from platform import python_version  # noqa: PLC0415 - needed for the message alone.

    return python_version()
