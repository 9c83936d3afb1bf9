"""The worker is killed before the effect: nothing was done, and nobody cleans up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.scheduler import Run, Worker


class CrashBefore:
    """SIGKILL before the effect."""

    name = "crash before"

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:  # noqa: ARG002 - it is not performed.
        """Ends the worker."""
        run.crash(worker)


FAULT = CrashBefore()
