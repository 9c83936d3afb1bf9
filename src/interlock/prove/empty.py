"""Makes the empty lists, dictionaries and sets that an object begins with, for objects of which each schedule has its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast, get_origin

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def empty(kind: type[T]) -> Callable[[], T]:
    """What makes an empty one: `list` of `list[int]`, say.

    Called itself, `list[int]` would try to write down in each list that it is one of numbers, which takes ten times as long.
    """
    return cast("Callable[[], T]", get_origin(kind))
