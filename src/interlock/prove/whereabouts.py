"""The line of the user's own code that led to an effect: neither a library's line, nor one of ours."""

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
