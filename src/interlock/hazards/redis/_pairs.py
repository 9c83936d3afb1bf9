"""What goes wrong between a read and a write of one key, when another client does the same at that moment."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from interlock.core.pattern import pattern
from interlock.hazards.redis._accesses import COUNTS, READS_COUNT, READS_MANY, READS_ONE
from interlock.hazards.redis._flow import Sense, depends, guards, senses
from interlock.hazards.redis._lifetimes import LIFETIMES, has_end_elsewhere
from interlock.hazards.redis._markers import acts_if, marks
from interlock.hazards.redis._values import is_value_itself, loses_update, overwrites_larger, same_member
from interlock.source.origin import Kind

if TYPE_CHECKING:
    from interlock.hazards.redis._accesses import Access
    from interlock.hazards.redis._flow import Guard
    from interlock.source.module import Module

_PUTS: Final = frozenset("set setex psetex hset hmset sadd zadd setbit lpush rpush".split())
_ENDS: Final = frozenset("delete unlink expire pexpire persist hdel getset".split())
# What is held by one client at a time.
_OWNED: Final = pattern(r"(?i)lock|release|owner|token|mutex|lease|leader|worker|holder|identifier")
_KEY_LONGEST: Final = 40


@dataclass(frozen=True, eq=False)
class Pair:
    """A read and a write below it, among all accesses of their function."""

    read: Access
    write: Access
    accesses: list[Access]
    module: Module

    @cached_property
    def asked(self) -> list[tuple[Sense, ast.expr | None, Guard]]:
        """What the tests that decide about the write ask of the answer of the read."""
        return [
            (sense, other, guard)
            for guard in guards(self.module, self.write.at)
            for sense, other in senses(self.module, guard, self.read)
        ]

    def asks(self, sense: Sense) -> bool:
        """Whether one of the tests asks this."""
        return any(found is sense for found, _, _ in self.asked)

    @property
    def is_apart(self) -> bool:
        """Whether both are on one key, and two steps, between which others can do the same."""
        read, write = self.read, self.write
        apart = read.at is not write.at and not read.in_one_batch_with(write)
        is_read = read.name in READS_ONE | READS_COUNT | READS_MANY
        return is_read and apart and read.place < write.place and read.meets(write) and not write.command.only_if_new

    @property
    def is_fresh(self) -> bool:
        """Whether the key has just been made up, so that no other client knows it."""
        key = self.read.command.key
        return key is not None and bool(self.module.origins.of(key).always(Kind.RANDOM))


def race(pair: Pair) -> str:
    """What goes wrong, as a message; empty if nothing does."""
    on_cache = pair.read.is_cache or pair.write.is_cache
    stories = (_both_go_on, _both_change, _limit_leaks, _update_is_lost, _other_is_hit, _comes_back)
    return next((told for story in stories[: 1 if on_cache else None] if (told := story(pair))), "")


def shown(access: Access, module: Module) -> str:
    """The key as the code writes it, short enough for a message."""
    key = access.command.key
    text = " ".join(module.segment(key).split()) if key is not None and access.helper is None else access.key
    return f"`{text}`" if len(text) <= _KEY_LONGEST else "the key"


def _both_go_on(pair: Pair) -> str:
    if not pair.asks(Sense.ABSENT) or pair.write.name not in _PUTS:
        return ""
    if not marks(pair.read, pair.write, pair.accesses, pair.module):
        return ""
    return f"two clients can both find {shown(pair.write, pair.module)} missing here before either writes it in line {pair.write.at.lineno}: both go on"


def _both_change(pair: Pair) -> str:
    """A state is tested, changed, and acted on: `if r.get(k) == b"pending": r.set(k, "running")`."""
    if not any(isinstance(other, ast.Constant) for other in _equals(pair)) or pair.write.name not in {"set", "setex", "hset"}:
        return ""
    if not isinstance(pair.write.command.value, ast.Constant) or not same_member(pair.read, pair.write, pair.module):
        return ""
    if not acts_if(Sense.EQUAL, pair.read, pair.write, pair.module):
        return ""
    return f"two clients can both find {shown(pair.write, pair.module)} in this state before either changes it in line {pair.write.at.lineno}: both go on"


def _limit_leaks(pair: Pair) -> str:
    if not pair.asks(Sense.ORDERED) or pair.write.name not in COUNTS | _PUTS or not _is_limit(pair):
        return ""
    return f"clients that read {shown(pair.write, pair.module)} at once all pass the test before the {pair.write.name.upper()} in line {pair.write.at.lineno} counts them: the limit leaks"


def _update_is_lost(pair: Pair) -> str:
    raised = [other for sense, other, _ in pair.asked if sense is Sense.ORDERED and other is not None]
    if not loses_update(pair.read, pair.write, pair.module) and not overwrites_larger(
        pair.read, pair.write, raised, pair.module
    ):
        return ""
    return f"{shown(pair.write, pair.module)} is read here and written back in line {pair.write.at.lineno}: of two clients that do so at once, one's change is lost"


def _other_is_hit(pair: Pair) -> str:
    """A token is compared, and then the key deleted: a lock is released, or a code is used up."""
    read, write, module = pair.read, pair.write, pair.module
    others = _equals(pair)
    if not others or isinstance(others[0], ast.Constant) or write.name not in _ENDS or read.name not in {"get", "hget"}:
        return ""
    key, end = shown(write, module), f"the {write.name.upper()} in line {write.at.lineno}"
    if _OWNED.search(f"{module.symbol(read.at)} {write.key} {ast.unparse(others[0])}"):
        return f"before {end} {key} can expire and be taken by another client, who then loses it"
    return f"two clients that read {key} here at once are both accepted before {end}: it works more than once"


def _comes_back(pair: Pair) -> str:
    """A counter is raised because it is there: gone in between, it begins anew, and without its end."""
    read, write = pair.read, pair.write
    if read.name not in {"exists", "get"} or write.name not in {"incr", "incrby", "decr", "decrby"}:
        return ""
    if not pair.asks(Sense.PRESENT) or not has_end_elsewhere(write, pair.module, LIFETIMES):
        return ""
    if any(other.name in LIFETIMES and other.meets(write) and other.place > write.place for other in pair.accesses):
        return ""
    return f"{shown(write, pair.module)} can expire between this {read.name.upper()} and the {write.name.upper()} in line {write.at.lineno}, which makes it anew: a wrong count that never ends"


def _equals(pair: Pair) -> list[ast.expr]:
    """What the answer itself is compared to."""
    return [
        other
        for sense, other, guard in pair.asked
        if sense is Sense.EQUAL and other is not None and is_value_itself(guard.test, pair.read, pair.module)
    ]


def _is_limit(pair: Pair) -> bool:
    """Whether a count is tested before it is raised, and nobody tests what it was raised to."""
    write = pair.write
    if write.name in _PUTS and pair.read.name not in READS_COUNT:
        return False
    counted = [access for access in pair.accesses if access is write or (access.name in COUNTS and access.meets(write))]
    return same_member(pair.read, write, pair.module) and not any(_decides(access, pair.module) for access in counted)


def _decides(write: Access, module: Module) -> bool:
    """Whether the answer of a command is tested below."""
    tests = (
        node.test for node in module.nodes(ast.If, ast.While, ast.IfExp) if module.function(node) is module.function(write.at)
    )
    return any(depends(module, test, write.result) for test in tests)
