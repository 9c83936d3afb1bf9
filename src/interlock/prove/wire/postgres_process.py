"""Starts a Postgres of our own for one proof: on a socket in a folder of its own, gone afterwards.

A database that somebody else uses is never touched: there is no way to give one. What `initdb` makes is kept from one proof to
the next, since it takes seconds. The copy that is used is not durable, and need not be: a crash of the server is not what is
tried.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.core.errors import WorldError
from interlock.prove.clock import EPOCH_S
from interlock.prove.scratch import scratch_folder
from interlock.prove.server_clock import ServerClock, compiled_clock
from interlock.prove.watchdog import end_with_parent
from interlock.prove.wire.postgres_protocol import Connection, startup

if TYPE_CHECKING:
    from collections.abc import Generator

START_TIMEOUT_S = 60.0
USER = "interlock"
SOCKET = ".s.PGSQL.5432"
_FORM = 1  # Of the cluster that is kept; another one is made if this changes.
_OLDEST = 14  # pg_terminate_backend waits since then.

# A lock that is not granted within a millisecond is told to the client as a notice, after the server has looked for a deadlock.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "64MB",
    "min_wal_size": "2MB",
    "autovacuum": "off",
    "checkpoint_timeout": "1d",  # Virtual time may make great steps.
    "jit": "off",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",  # In its folder, with which it goes, however the server ends.
    "max_connections": "100",
    "max_prepared_transactions": "10",
    "deadlock_timeout": "1ms",
    "log_lock_waits": "on",
    "client_min_messages": "log",
    "lc_messages": "C",
    "timezone": "UTC",
}


@contextmanager
def postgres_process(*, is_virtual: bool = False) -> Generator[tuple[Path, ServerClock | None]]:
    """A server for as long as the block lasts; gives the path of its socket, and its clock if that can be set.

    It waits for locks by its wall clock, which therefore goes on by itself from what is shown.

    Args:
        is_virtual: Whether it is to be on virtual time, if this machine can make it so.

    Raises:
        WorldError: If there is none on this machine, or it does not start.
    """
    programs = _programs()
    # What is loaded as code stays apart: memory is often mounted so that nothing in it is carried out.
    with tempfile.TemporaryDirectory(prefix="interlock-") as name, scratch_folder() as data:
        folder = Path(name)
        shutil.copytree(_template(programs), data, symlinks=True, dirs_exist_ok=True)
        clock = _clock(folder) if is_virtual else None
        _give_away(folder)
        _give_away(data)
        environment = {**os.environ, **(clock.environment if clock else {})}
        log, owner = folder / "log", _as_somebody()
        options = [part for setting, value in _SETTINGS.items() for part in ("-c", f"{setting}={value}")]
        with log.open("wb") as told:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                [str(programs / "postgres"), "-D", str(data), "-k", name, *options],
                stdout=told,
                stderr=told,
                user=owner.get("user"),
                group=owner.get("group"),
                extra_groups=owner.get("extra_groups"),
                env=environment,
                preexec_fn=partial(end_with_parent, signal.SIGQUIT),  # noqa: PLW1509 - it makes one system call.
            )
        try:
            _wait(process, folder / SOCKET, log)
            yield folder / SOCKET, clock
        finally:
            if clock is not None:
                clock.close()
            process.send_signal(signal.SIGQUIT)  # At once, its children with it.
            process.wait()


def _clock(folder: Path) -> ServerClock | None:
    """The server's clock, with a copy of the library that the server's user can read."""
    library = compiled_clock()
    if library is None:
        return None
    return ServerClock(folder, Path(shutil.copy(library, folder)), EPOCH_S, ticks=True)


def _programs() -> Path:
    """The folder of the newest server's programs."""
    on_path = shutil.which("postgres")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    binary = Path(on_path).resolve() if on_path else found[-1] if found else None
    if binary is None:
        raise WorldError(
            "no postgres on this machine (apt-get install postgresql), and nothing on a database is tried without one"
        )
    return binary.parent


def _template(programs: Path) -> Path:
    """A fresh cluster, made by the first proof that needs one."""
    version = subprocess.run([str(programs / "postgres"), "--version"], capture_output=True, text=True, check=True).stdout
    number = version.split()[2]
    if int(number.split(".", maxsplit=1)[0]) < _OLDEST:
        raise WorldError(f"found PostgreSQL {number}, expected {_OLDEST} or newer")
    kept = Path(tempfile.gettempdir(), f"interlock-postgres-{number}-{os.getuid()}-{_FORM}")
    if not kept.exists():
        _make(programs, kept)
    about = kept.lstat()
    if about.st_uid != os.getuid() or about.st_mode & 0o077:
        raise WorldError(f"{kept} is not ours alone: expected a folder that nobody else can read or write; remove it")
    return kept / "data"


def _make(programs: Path, kept: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="interlock-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        _give_away(folder)
        arguments = (
            "-D",
            str(folder / "data"),
            "-U",
            USER,
            "-A",
            "trust",
            "--no-sync",
            "--wal-segsize=1",
            "-E",
            "UTF8",
            "--locale=C",
        )
        done = subprocess.run(
            [str(programs / "initdb"), *arguments], capture_output=True, text=True, check=False, **_as_somebody()
        )
        if done.returncode:
            raise WorldError(f"initdb fails: {done.stderr.strip()[-300:]}")
        ready = kept.with_name(f"{kept.name}.{os.getpid()}")
        ready.mkdir(mode=0o700)
        shutil.copytree(folder / "data", ready / "data", symlinks=True)
        try:
            ready.rename(kept)
        except OSError:  # Another proof was faster.
            shutil.rmtree(ready)


def _as_somebody() -> dict[str, Any]:
    """Postgres refuses to run as root, so for root somebody else runs it."""
    if os.getuid():
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise WorldError("Postgres does not run as root, and there is neither a user postgres nor nobody")


def _give_away(folder: Path) -> None:
    owner = _as_somebody()
    if owner:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner["user"], owner["group"], follow_symlinks=False)


def _wait(process: subprocess.Popen[bytes], path: Path, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            connection = Connection(path, startup(user=USER, database="postgres"))
            connection.close()
            if not connection.is_refused:
                return
        except (OSError, WorldError):
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise WorldError(f"postgres did not start: {log.read_text(errors='replace').strip()[-300:]}")
        time.sleep(0.01)
