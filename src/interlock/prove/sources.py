"""Which files a proof has run: what it is evidence about."""

from __future__ import annotations

import sys
import sysconfig
from functools import cache


def loaded_sources() -> frozenset[str]:
    """The files of all modules that are loaded, but for Python's own and for installed packages."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return frozenset(name for name in files if isinstance(name, str) and name.endswith(".py") and not _is_installed(name))


def _is_installed(name: str) -> bool:
    return name.startswith(_installed())


@cache
def _installed() -> tuple[str, ...]:
    """The folders of installed code. Asking for them takes a millisecond each."""
    return tuple(f"{sysconfig.get_path(key)}/" for key in ("stdlib", "platstdlib", "purelib", "platlib"))
