"""psycopg2 under control: it lets others do its waiting, and connects to the port of ours as psycopg does.

With a callback for waiting, psycopg2 sends and receives without ever letting libpq block ("green" mode, which is made for
coroutine libraries). Source: psycopg2's documentation, "Support for coroutine libraries". What it refuses there is unknown, and
not the error that it makes of it: a module would handle that as if the database had failed.
"""

from __future__ import annotations

import select
from contextlib import contextmanager
from functools import cache
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
    guarded = _guards(current, extensions)

    def connect(dsn: str, connection_factory: Any = None, **options: Any) -> Any:
        run = current()
        if run is None:
            return real._connect(dsn, connection_factory=connection_factory, **options)  # noqa: SLF001 - as above.
        if run.here() is not None:
            check_it_is_ours(run, port, extensions.parse_dsn(dsn))
            if any(options.get(name) for name in ("async", "async_")):
                raise run.uncontrolled("psycopg2 in its asynchronous mode, in which whoever has made a connection waits for it")
        factory = guarded(connection_factory or extensions.connection)
        return real._connect(dsn, connection_factory=factory, **options)  # noqa: SLF001 - as above.

    changed._connect = connect  # noqa: SLF001 - as above.
    wants = {extensions.POLL_READ: READ, extensions.POLL_WRITE: WRITE}
    extensions.set_wait_callback(_waiting(current, port, wants, guarded(extensions.connection)))
    try:
        yield
    finally:
        extensions.set_wait_callback(callback)
        changed._connect = before  # noqa: SLF001 - as above.


def _guards(current: Callable[[], Run | None], extensions: Any) -> Callable[[Any], Any]:
    """What to make a connection with, in place of a factory of the module's or of the library's own."""

    def refusing(own: Any, name: str) -> Callable[..., Any]:
        def refuse(*given: Any, **options: Any) -> Any:
            run = current()
            if run is None:
                return getattr(own, name)(*given, **options)
            raise run.uncontrolled(f"psycopg2's {name}, which does not let others do its waiting")

        return refuse

    def guard(own: Any, *refused: str, **changed: Any) -> Any:
        return type(own.__name__, (own,), {name: refusing(own, name) for name in refused} | changed)

    def cursor(connection: Any, name: Any = None, cursor_factory: Any = None, **options: Any) -> Any:
        factory = cursor_factory or connection.cursor_factory or extensions.cursor
        return extensions.connection.cursor(connection, name, cursor_factory=beneath(factory, cursors), **options)

    cursors = guard(extensions.cursor, "copy_from", "copy_to", "copy_expert")
    connections = guard(extensions.connection, "lobject", "cancel", cursor=cursor)

    @cache
    def beneath(factory: Any, guard: Any) -> Any:
        """A class that does all that the factory does, and comes to the guard where that one would come to the library."""
        if factory in guard.__bases__:
            return guard
        return type(factory.__name__, (factory, guard), {}) if isinstance(factory, type) else factory

    return lambda factory: beneath(factory, connections)


def _waiting(current: Callable[[], Run | None], port: Port, wants: dict[int, int], guarded: type) -> Callable[[Any], None]:
    def wait(connection: Any) -> None:
        run = current()
        if run is not None and not isinstance(connection, guarded):
            raise run.uncontrolled("a connection of psycopg2 that `psycopg2.connect` has not made in this schedule")
        while wanted := wants.get(connection.poll()):
            if run is not None:
                end = port.end(connection.fileno())
                end.wait(run, wanted, None)
                if end.wire.expects:
                    raise run.uncontrolled(f"psycopg2 listens: {end.wire.expects} comes while it does not wait")
            elif wanted == READ:
                _select([connection], [], [])
            else:
                _select([], [connection], [])

    return wait
