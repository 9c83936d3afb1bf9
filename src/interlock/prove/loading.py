"""Finds the contracts in a file."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb

from interlock.core.errors import UsageError, nearest
from interlock.prove.contract import Contract
from interlock.prove.scheduler import Run
from interlock.prove.world import World


def contracts_in(path: Path, name: str | None) -> list[Contract]:
    """The contracts of a file, in the order in which they stand there, or those of a name; a promise's scenarios apart.

    Raises:
        UsageError: If there is no such file, it cannot be imported, it holds none, or one cannot be set up.
    """
    written = written_in(path)
    if name is None:
        return [one for contract in written for one in apart(contract)]
    called, _, scenario = name.partition("[")
    found = [one for contract in written if contract.name == called for one in apart(contract)]
    if not found:
        raise UsageError(f"{path}: no contract {called!r}; {nearest(called, (contract.name for contract in written))}")
    chosen = [one for one in found if not scenario or one.name == name]
    if not chosen:
        raise UsageError(f"{path}: no contract {name!r}; {nearest(name, (one.name for one in found))}")
    return chosen


def written_in(path: Path) -> list[Contract]:
    """The contracts of a file as they are written, in that order.

    Raises:
        UsageError: If there is no such file, it cannot be imported, or it holds none.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected a Python file with contracts")
    written = [contract for contract in vars(_imported(path)).values() if isinstance(contract, Contract)]
    if not written:
        raise UsageError(f"{path}: no contract in it; expected a function under @contract")
    return written


def apart(contract: Contract) -> list[Contract]:
    """A contract for each scenario of a promise; the contract itself, if it is a plain one.

    Raises:
        UsageError: If it cannot be set up.
    """
    nowhere = World(Run(lambda ready: ready[0]), None, "ok")
    return contract.apart(nowhere)


def _imported(path: Path) -> object:
    """The file as a module. What lies beside it can be imported, as if it were run, and what lies in the current folder."""
    spec = spec_from_file_location(f"contracts_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: not a Python file")
    sys.path[:0] = [str(path.resolve().parent), str(Path.cwd())]
    module = sys.modules[spec.name] = module_from_spec(spec)  # Where what reads annotations looks for their names.
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        raise UsageError(f"{path}{_line(error, path)}: cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _line(error: Exception, path: Path) -> str:
    """The line of the file that led to an error, as `:9`; nothing if none did."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f":{error.lineno}"
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f":{lines[-1]}" if lines else ""
