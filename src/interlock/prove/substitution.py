"""Puts functions in the place of others, wherever a module has them: by their own name, or by `from time import sleep`."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

# What must go on with the real ones: the guard itself, and the test runner.
OUR_OWN = ("interlock", "pytest", "_pytest")


@contextmanager
def substituted(pairs: Iterable[tuple[object, Callable[..., object]]], spared: tuple[str, ...] = OUR_OWN) -> Generator[None]:
    """Puts the second of each pair in the place of the first for as long as the block lasts.

    Args:
        pairs: A function and what stands in for it.
        spared: How the names of modules begin that keep what they have.
    """
    by_identity = {id(real): (real, instead) for real, instead in pairs}
    changed = [
        (module, name, value)
        for module in list(sys.modules.values())
        if not module.__name__.startswith(spared)
        for name, value in list(vars(module).items())
        if id(value) in by_identity
    ]
    for module, name, value in changed:
        setattr(module, name, by_identity[id(value)][1])
    try:
        yield
    finally:
        for module, name, value in changed:
            setattr(module, name, value)
