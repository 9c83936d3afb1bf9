"""The worker is killed after the effect: it was done, and nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.scheduler import Run, Worker


class CrashAfter:
    """SIGKILL after the effect."""

    name = "crash after"

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:
        """Carries the effect out, and ends the worker."""
        perform()
        run.crash(worker)


FAULT = CrashAfter()
