"""Django keeps its database connections in a place of the thread; each worker is given one of its own, as processes have."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from interlock.prove.scheduler import Run
    from interlock.prove.worker import Worker


class _PerWorker:
    """Attributes of the process whose worker asks."""

    def __init__(self, current: Callable[[], Run | None], outside: object) -> None:
        places: WeakKeyDictionary[Worker, SimpleNamespace] = WeakKeyDictionary()

        def place() -> object:
            run = current()
            worker = run.here() if run is not None else None
            if run is None or worker is None:
                return outside
            return places.setdefault(run.main(worker), SimpleNamespace())

        object.__setattr__(self, "_place", place)

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_place")(), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(object.__getattribute__(self, "_place")(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(object.__getattribute__(self, "_place")(), name)


@contextmanager
def django_connections_apart(current: Callable[[], Run | None]) -> Generator[None]:
    """Gives each worker connections of its own, if Django is there."""
    connections: Any = getattr(sys.modules.get("django.db"), "connections", None)
    if connections is None:
        yield
        return
    before = connections._connections  # noqa: SLF001 - there is no public way to tell processes apart in one thread.
    connections._connections = _PerWorker(current, before)  # noqa: SLF001 - likewise.
    try:
        yield
    finally:
        connections._connections = before  # noqa: SLF001 - likewise.
