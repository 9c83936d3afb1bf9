"""Which files a proof has run: what it is evidence about."""

from __future__ import annotations

import sys
import sysconfig
from functools import cache
from pathlib import Path


def loaded_sources() -> frozenset[str]:
    """The files of all modules that are loaded, but for Python's own and for installed packages."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return frozenset(name for name in files if isinstance(name, str) and _is_a_project_s(name))


@cache
def _is_a_project_s(name: str) -> bool:
    installed = {sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    return name.endswith(".py") and not any(Path(name).is_relative_to(folder) for folder in installed)
