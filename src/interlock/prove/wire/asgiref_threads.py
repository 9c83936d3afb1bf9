"""The thread of asgiref, by which Django calls a view that is async from where nothing is: its event loop runs here instead."""

from __future__ import annotations

import asyncio
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from interlock.prove.scheduler import Run


@contextmanager
def controlled_asgiref(current: Callable[[], Run | None]) -> Generator[None]:
    """Keeps asgiref from starting threads while a schedule runs, if anybody has imported it."""
    changed: Any = getattr(sys.modules.get("asgiref.sync"), "AsyncToSync", None)
    if changed is None:
        yield
        return
    real = changed.__call__

    def call(self: Any, *args: Any, **options: Any) -> Any:
        run = current()
        if run is None:
            return real(self, *args, **options)
        worker = run.here()
        if worker is not None and worker is not run.main(worker):
            raise run.uncontrolled("asgiref's async_to_sync, by which a thread of an event loop waits for it")

        async def main() -> Any:
            return await self.awaitable(*args, **options)

        return asyncio.run(main())

    changed.__call__ = call
    try:
        yield
    finally:
        changed.__call__ = real
