"""Guard 2, run: a team's real module, unmodified, under every interleaving and fault that matters.

What a contract needs can be taken from here: `from interlock.prove import contract, RetryQueue`. It is loaded when asked for.

contract     what a user writes: workers, a provider, what must hold
contracts/   what is ready: queues, sign-ups, ledgers, locks, limits, caches
world        what a contract is shown, once for each schedule
scheduler    runs workers one effect at a time
worker       whoever takes part
wire/        where effects are caught: Redis commands and HTTP requests, really carried out
clock        virtual time
fault        what a schedule asks of something that goes wrong
faults/      what can go wrong at an effect, one file each
search       which schedules to run
"""

# ruff: noqa: TC004 - these names are the package's own, and loaded when they are asked for.
from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.prove.contract import contract
    from interlock.prove.contracts import Cache, Ledger, Lock, Origin, Payment, RateLimit, RetryQueue, Transfer, UniqueIdentity
    from interlock.prove.invariant import Invariant
    from interlock.prove.load.shapes import burst, steady

__all__ = [
    "Cache",
    "Invariant",
    "Ledger",
    "Lock",
    "Origin",
    "Payment",
    "RateLimit",
    "RetryQueue",
    "Transfer",
    "UniqueIdentity",
    "burst",
    "contract",
    "steady",
]
_ELSEWHERE = {"Invariant": "invariant", "burst": "load.shapes", "contract": "contract", "steady": "load.shapes"}


class _Package(ModuleType):
    """This package. By Python's own rule, `contract` in it would become the module of that name as soon as that is loaded."""

    @property
    def contract(self) -> Any:
        """The decorator."""
        return _loaded("contract")

    @contract.setter
    def contract(self, module: ModuleType) -> None:
        """Whoever imports the module sets it."""

    def __getattr__(self, name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=self)
        return _loaded(name)


def _loaded(name: str) -> Any:
    return getattr(import_module(f"{__name__}.{_ELSEWHERE.get(name, 'contracts')}"), name)


sys.modules[__name__].__class__ = _Package
