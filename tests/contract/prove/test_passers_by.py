from __future__ import annotations

import _socket
import os
import socket
import sqlite3
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from interlock.core.verdict import Verdict
from interlock.prove.contract import contract
from interlock.prove.explore import Proof, prove, watched
from interlock.prove.invariant import Invariant
from interlock.prove.passers_by import Passers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from interlock.prove.world import World

pytestmark = pytest.mark.usefixtures("redis_server")


def proof_of(task: Callable[[], object]) -> Proof:
    @contract(workers=1, faults=0)
    def alone(world: World) -> None:
        world.run(task)
        world.recover(lambda: None, times=1)
        world.check(Invariant("it ends", lambda: None))

    return prove(alone, budget_s=30)


def test_a_client_in_c_that_is_known_by_name_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("psycopg2")
    module._connect = lambda _: None  # type: ignore[attr-defined]  # noqa: SLF001 - as that library has it.
    monkeypatch.setitem(sys.modules, "psycopg2", module)

    proof = proof_of(lambda: module._connect("dbname=theirs"))  # noqa: SLF001 - likewise.

    assert proof.verdict is Verdict.UNKNOWN
    assert "psycopg2 makes connections of its own in C" in proof.reason


def test_a_connection_is_seen_where_a_file_was_open_before() -> None:
    passers = Passers()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        known = socket.create_connection(listener.getsockname())
        file = os.open(os.devnull, os.O_RDONLY)
        passers.begin()
        again = socket.socket(fileno=os.dup(known.fileno()))
        before = passers.new(None)
        os.close(file)
        made = socket.create_connection(listener.getsockname())
        seen = passers.new(None)
        is_in_its_place = made.fileno() == file
        for one in (known, again, made):
            one.close()

    assert (before, is_in_its_place) == ("", True)
    assert seen.startswith("127.0.0.1 port ")


def test_a_connection_that_passes_by_is_unknown() -> None:
    kept: list[_socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def passes_by() -> None:
            kept.append(_socket.socket())  # Below what Python calls a socket, as a library in C is.
            kept[-1].connect(listener.getsockname())

        proof = proof_of(passes_by)
        for one in kept:
            one.close()

    assert proof.verdict is Verdict.UNKNOWN
    assert "that no socket of Python has made" in proof.reason


def test_who_passes_nobody_by_is_not_told_so() -> None:
    assert "connection" not in proof_of(lambda: None).reason


def test_a_connection_that_was_open_before_is_broken_in_the_proof_and_nothing_is_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        theirs, _ = listener.accept()
        with theirs:
            theirs.settimeout(0.1)

            @contract(workers=1, faults=0)
            def alone(world: World) -> None:
                world.run(lambda: client.sendall(b"SET n 1"))
                world.recover(lambda: None, times=1)
                world.check(Invariant("it ends", lambda: None))

            proof = watched(alone, budget_s=30)

            assert proof.verdict is Verdict.UNKNOWN
            assert "BrokenPipeError" in proof.reason
            with pytest.raises(TimeoutError):
                theirs.recv(1)
            client.sendall(b"PING")  # Here it is what it was.
            assert theirs.recv(4) == b"PING"


@pytest.mark.parametrize("database", ["shop.db", ":memory:"])
def test_a_database_in_a_file_is_told(tmp_path: Path, database: str) -> None:
    proof = proof_of(lambda: sqlite3.connect(database if database == ":memory:" else tmp_path / database).close())

    assert ("opens a database in a file" in proof.reason) == (database == "shop.db")
