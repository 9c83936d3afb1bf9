"""Which line has led to what happens: of the user's own code to an effect, or of anybody's to what an audit hook is told of."""

from __future__ import annotations

import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_NOT_THEIRS = (
    str(Path(__file__).resolve().parents[1]),
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)
_GUARD = str(Path(__file__).parent)
_HOOKS = tuple(str(Path(_GUARD, name)) for name in ("stowaways.py", "files.py", "whereabouts.py"))
_STANDARD = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib"))
_INSTALLED = tuple(sysconfig.get_paths()[name] for name in ("purelib", "platlib"))


def nowhere() -> str:
    """Where nobody wants to know."""
    return ""


def users_line() -> str:
    """The innermost of the user's own lines that are being run, as `path:line`; nothing, if there is none."""
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001 - nothing else says who calls.
    while frame is not None:
        if is_theirs(frame.f_code.co_filename):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


@cache
def is_theirs(path: str) -> bool:
    """Whether a file is neither of the standard library, nor installed, nor ours."""
    if path.startswith("<"):
        return False
    full = str(Path(path).resolve())
    return not full.startswith(_NOT_THEIRS) and not {"site-packages", "dist-packages"} & set(Path(full).parts)


def asking() -> tuple[list[FrameType], str]:
    """Who asks for what an audit hook is told of: the standard library's frames, and the line that has called them, if any.

    The line is that of a library or of the user's own code; nothing, if it is the guard's.
    """
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001 - as above.
    standard: list[FrameType] = []
    while frame is not None and (frame.f_code.co_filename in _HOOKS or _is_standard(frame.f_code.co_filename)):
        if frame.f_code.co_filename not in _HOOKS:
            standard.append(frame)
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename.startswith(_GUARD):
        return standard, ""
    return standard, f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _is_standard(path: str) -> bool:
    return path.startswith("<") or (path.startswith(_STANDARD) and not path.startswith(_INSTALLED))
