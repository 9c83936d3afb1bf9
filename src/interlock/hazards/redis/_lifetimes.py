"""Which keys of a module have an end: a time to live, or somebody who removes them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from interlock.hazards.redis._accesses import accesses_in, spelled
from interlock.source.module import FUNCTIONS

if TYPE_CHECKING:
    from interlock.hazards.redis._accesses import Access
    from interlock.source.module import Module

LIFETIMES: Final = frozenset("expire pexpire expireat pexpireat getex hexpire setex psetex".split())
REMOVALS: Final = frozenset("delete unlink getdel rename".split())
# An empty list, set or hash is gone by itself: who takes its members out ends it.
TAKES_OUT: Final = frozenset(
    "zrem srem lrem hdel lpop rpop blpop brpop lmove blmove rpoplpush spop zpopmin zpopmax ltrim zremrangebyscore".split()
)
_SHORTEST: Final = 3  # Shorter forms are contained in everything.


def has_end_elsewhere(access: Access, module: Module, ends: frozenset[str]) -> bool:
    """Whether another function of this module ends keys of this form."""
    wanted = form(access.key)
    return any(
        name in ends and len(found) >= _SHORTEST and (wanted in found or found in wanted) for name, found in _ends(module)
    )


@lru_cache(maxsize=1)
def _ends(module: Module) -> set[tuple[str, str]]:
    accesses = accesses_in(module)
    found: set[tuple[str, str]] = set()
    for function in module.nodes(*FUNCTIONS):
        found |= {(access.name, form(access.key)) for access in accesses.of(function)}
        found |= {("expire", form(access.key)) for access in accesses.of(function) if access.command.has_lifetime}
        for command in accesses.commands.get(function, []):
            found |= {(command.name, form(spelled(module, key))) for key in command.keys if command.name in REMOVALS}
    return found


def form(key: str) -> str:
    """A key without what varies in it."""
    return re.sub(r"%[sd]|\(.*\)", "", re.sub(r"\{[^{}]*\}", "", key))
