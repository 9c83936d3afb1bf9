"""Finds the contracts in a file."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING

from interlock.core.errors import UsageError, nearest
from interlock.prove.contract import Contract

if TYPE_CHECKING:
    from pathlib import Path


def contracts_in(path: Path, name: str | None) -> list[Contract]:
    """The contracts of a file, in the order in which they stand there; or the one of a name.

    Raises:
        UsageError: If there is no such file, it cannot be imported, or it holds none.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected a Python file with contracts")
    found = {contract.name: contract for contract in vars(_imported(path)).values() if isinstance(contract, Contract)}
    if not found:
        raise UsageError(f"{path}: no contract in it; expected a function under @contract(...)")
    if name is None:
        return list(found.values())
    if name not in found:
        raise UsageError(f"{path}: no contract {name!r}; {nearest(name, found)}")
    return [found[name]]


def _imported(path: Path) -> object:
    """The file as a module. What lies beside it can be imported, as if it were run."""
    spec = spec_from_file_location(f"contracts_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: not a Python file")
    sys.path.insert(0, str(path.resolve().parent))
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    return module
