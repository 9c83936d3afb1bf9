"""psycopg2 under control: it lets others do its waiting, and connects to the port of ours as psycopg does.

With a callback for waiting, psycopg2 sends and receives without ever letting libpq block ("green" mode, which is made for
coroutine libraries). Source: psycopg2's documentation, "Support for coroutine libraries".
"""

from __future__ import annotations

import select
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from interlock.prove.wire.libpq import READ, WRITE, check_it_is_ours

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from interlock.prove.scheduler import Run
    from interlock.prove.wire.libpq import Port

_select = select.select  # While a schedule runs, the name stands for another one.


@contextmanager
def controlled_psycopg2(current: Callable[[], Run | None], port: Port) -> Generator[None]:
    """Lets psycopg2 wait under control while a schedule runs."""
    try:
        library, extensions = import_module("psycopg2"), import_module("psycopg2.extensions")
        real: Any = import_module("psycopg2._psycopg")
    except ModuleNotFoundError:
        yield
        return
    changed: Any = library
    before, callback = changed._connect, extensions.get_wait_callback()  # noqa: SLF001 - what `connect` calls.

    def connect(dsn: str, *rest: Any, **options: Any) -> Any:
        run = current()
        if run is not None and run.here() is not None:
            check_it_is_ours(run, port, extensions.parse_dsn(dsn))
            if any(options.get(name) for name in ("async", "async_")):
                raise run.uncontrolled("psycopg2 in its asynchronous mode, in which whoever has made a connection waits for it")
        return real._connect(dsn, *rest, **options)  # noqa: SLF001 - as above.

    changed._connect = connect  # noqa: SLF001 - as above.
    extensions.set_wait_callback(_waiting(current, port, {extensions.POLL_READ: READ, extensions.POLL_WRITE: WRITE}))
    try:
        yield
    finally:
        extensions.set_wait_callback(callback)
        changed._connect = before  # noqa: SLF001 - as above.


def _waiting(current: Callable[[], Run | None], port: Port, wants: dict[int, int]) -> Callable[[Any], None]:
    def wait(connection: Any) -> None:
        run = current()
        while wanted := wants.get(connection.poll()):
            if run is not None:
                port.end(connection.fileno()).wait(run, wanted, None)
            elif wanted == READ:
                _select([connection], [], [])
            else:
                _select([], [connection], [])

    return wait
