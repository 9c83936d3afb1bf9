"""Serves one release of the shop, as its operators do: `python serve.py WORKTREE PORT VERSION`.

The release's own application, unmodified. Beside its own metrics there is one of its database pool, each answer says which
version gave it, and `/version` does nothing else.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import uvicorn
from anyio.to_thread import current_default_thread_limiter
from prometheus_client import Gauge

# SQLite lets one writer in at a time, and whoever waits for it sleeps and tries again. Two processes of the shop answered 222
# to 285 checkouts a second on two cores with the usual 40 threads each, and 386 with two.
THREADS = 2
ROUTER_KEEPS_S = 60  # Who closes first should be the router, or else a request may meet a connection that is being closed.


def main() -> None:
    """Serves until it is stopped."""
    worktree, port, version = sys.argv[1:4]
    sys.path.insert(0, str(Path(worktree).resolve()))
    from shop.app import from_environment

    app: Any = from_environment()
    pool = app.state.shop.sessions.kw["bind"].pool
    in_use = Gauge("shop_database_connections_in_use", "Connections that are out of the pool.")
    in_use.set_function(pool.checkedout)
    app.add_api_route("/version", lambda: {"version": version})
    config = uvicorn.Config(
        app,
        port=int(port),
        log_level="error",
        access_log=False,
        headers=[("X-Version", version)],
        timeout_keep_alive=ROUTER_KEEPS_S + 15,
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(serve(config))


async def serve(config: uvicorn.Config) -> None:
    """The number of threads is one of the running loop."""
    current_default_thread_limiter().total_tokens = THREADS
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    main()
