"""The subjects that proofs are tried on, and the server that they need."""

from __future__ import annotations

import asyncio
import importlib
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interlock.core.verdict import Verdict
from interlock.prove.contract import contract
from interlock.prove.explore import prove
from interlock.prove.invariant import Invariant
from interlock.prove.wire.http_wire import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from interlock.prove.world import World

SUBJECTS = Path(__file__).parent.parent / "prove_subjects"


@pytest.fixture
def redis_server() -> None:
    """There is a Redis on this machine."""
    if not shutil.which("redis-server") and not shutil.which("valkey-server"):
        message = "NOT RUN: no redis-server on this machine (make servers)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture
def postgres_server() -> None:
    """There is a Postgres on this machine."""
    if not shutil.which("postgres") and not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        message = "NOT RUN: no postgres on this machine (make servers)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture
def queues(redis_server: None) -> Iterator[Any]:  # noqa: ARG001 - it must be there.
    """The module of queues."""
    sys.path.insert(0, str(SUBJECTS))
    yield importlib.import_module("queues")
    sys.path.remove(str(SUBJECTS))
    sys.modules.pop("queues")


class OfAModule(asyncio.SelectorEventLoop):
    """A kind of loop that is nobody else's."""


@pytest.fixture(params=[(asyncio.SelectorEventLoop, False), (asyncio.SelectorEventLoop, True), (OfAModule, False)])
def gave(request: pytest.FixtureRequest, redis_server: None) -> Callable[..., object]:  # noqa: ARG001 - it must be there.
    """Runs a coroutine as the only worker of a schedule, in a loop of the library's and in a module's own; what it came to."""

    def runs(task: Callable[[], Awaitable[object]], answer: Callable[[], Answer] = lambda: Answer(body="on")) -> object:
        told: list[object] = []

        async def noted() -> None:
            told.append(await task())

        def in_a_loop() -> None:
            kind, is_in_debug_mode = request.param
            with asyncio.Runner(loop_factory=kind, debug=is_in_debug_mode) as runner:
                runner.run(noted())

        @contract(workers=1, faults=0)
        def one_worker(world: World) -> None:
            world.http("https://flags.example", lambda _: answer())
            world.run(in_a_loop)
            world.sometimes("it comes to something", lambda: bool(told))
            world.recover(lambda: None, times=0)
            world.check(Invariant("nothing", lambda: None))

        proof = prove(one_worker, budget_s=60)
        assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
        return told[0]

    return runs
