"""Serves one release of the shop, as its operators do: `python serve.py WORKTREE PORT VERSION`.

The release's own application, unmodified. Beside its own metrics there is one of its database pool, each answer says which
version gave it, and `/version` does nothing else.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import uvicorn
from prometheus_client import Gauge


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
    uvicorn.run(app, port=int(port), log_level="error", headers=[("X-Version", version)])


if __name__ == "__main__":
    main()
