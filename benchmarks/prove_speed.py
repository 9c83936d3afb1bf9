"""What a schedule costs: two workers with six commands or statements each, beside the same ones without any control.

    python benchmarks/prove_speed.py
    python benchmarks/prove_speed.py postgres     # only what has this word in its name

The clients are redis-py, redis.asyncio and psycopg, the servers a real Redis and a real Postgres. Everything is measured in one
run and in turns, because other programs on the machine slow all of it down. CPU time is that of this process alone. A proof
shares one core with its servers; without control each has the whole machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import redis
import redis.asyncio

from interlock.prove.bench import bench
from interlock.prove.contract import contract
from interlock.prove.explore import prove
from interlock.prove.invariant import Invariant
from interlock.prove.programs import Program
from interlock.prove.proof import Findings
from interlock.prove.wire.postgres_process import USER, postgres_process
from interlock.prove.wire.redis_connection import Connection
from interlock.prove.wire.redis_server import running_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from interlock.prove.contract import Contract
    from interlock.prove.worker import Worker
    from interlock.prove.world import World

COMMANDS = 6
ROUNDS = 15
PROOF_S = 10.0
_REAL_TIME = (time.perf_counter,)  # While a schedule runs, the name stands for virtual time.
ALL_CORES = os.sched_getaffinity(0)
TABLE = "CREATE TABLE IF NOT EXISTS numbers (name text PRIMARY KEY, number int)"


def six_commands(url: str, name: str) -> None:
    """Three writes and three reads, by a client of its own."""
    with redis.Redis.from_url(url) as client:
        for number in range(COMMANDS // 2):
            client.set(f"{name}:{number}", "1")
            client.get(f"{name}:{number}")


async def six_commands_async(url: str, name: str) -> None:
    """The same in an event loop."""
    async with redis.asyncio.Redis.from_url(url) as client:
        for number in range(COMMANDS // 2):
            await client.set(f"{name}:{number}", "1")
            await client.get(f"{name}:{number}")


def six_statements(dsn: str, name: str) -> None:
    """The same with rows."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for number in range(COMMANDS // 2):
            connection.execute("INSERT INTO numbers VALUES (%s, %s)", (f"{name}:{number}", 1))
            connection.execute("SELECT number FROM numbers WHERE name = %s", (f"{name}:{number}",))


def _checked_by_nobody(world: World) -> None:
    world.recover(times=0)
    world.check(Invariant("nothing", lambda: None))


@contract(workers=2, faults=0)
def on_redis(world: World) -> None:
    """A new client for each worker of each schedule, and nobody who clears up."""
    url = world.redis_url
    world.run(*(partial(six_commands, url, name) for name in "ab"))
    _checked_by_nobody(world)


@contract(workers=2, faults=0)
def on_redis_async(world: World) -> None:
    """An event loop for each worker."""
    url = world.redis_url
    world.run(*(partial(six_commands_async, url, name) for name in "ab"))
    _checked_by_nobody(world)


@contract(workers=2, faults=0)
def on_postgres(world: World) -> None:
    """A connection for each worker."""
    world.given_schema(TABLE)
    dsn = world.postgres_dsn
    world.run(*(partial(six_statements, dsn, name) for name in "ab"))
    _checked_by_nobody(world)


def plain_redis(url: str) -> None:
    """A schedule without control: the server is emptied, and one worker works after the other."""
    with redis.Redis.from_url(url) as client:
        client.flushall()
    for name in "ab":
        six_commands(url, name)


def plain_redis_async(url: str) -> None:
    """Likewise."""
    with redis.Redis.from_url(url) as client:
        client.flushall()
    for name in "ab":
        asyncio.run(six_commands_async(url, name))


def plain_postgres(dsn: str) -> None:
    """Likewise."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("TRUNCATE numbers")
    for name in "ab":
        six_statements(dsn, name)


@dataclass(slots=True)
class Subject:
    """What is measured.

    Attributes:
        name: For people.
        contract: Under control.
        plain: Without.
        told: Schedules a second and milliseconds of CPU each, of each round: without control, and under it.
    """

    name: str
    contract: Contract
    plain: Callable[[], None]
    told: tuple[list[tuple[float, float]], list[tuple[float, float]]] = field(default_factory=lambda: ([], []))

    def round(self, schedules: int) -> None:
        """Measures so many schedules of both kinds."""
        with bench(self.contract) as own:
            program, found, choose = Program("ok", 2, None), Findings(schedules=2), alternating
            own.schedule(program, choose(), found)  # The servers start.
            with wherever_the_kernel_likes():
                self.told[0].append(measured(self.plain, schedules))
            self.told[1].append(measured(lambda: own.schedule(program, choose(), found), schedules))

    def print(self) -> None:
        """The best round of each kind, and how the two of each round compare."""
        for kind, rounds in zip(("without control", "under control"), self.told, strict=True):
            best, cpu_ms = max(one for one, _ in rounds), min(one for _, one in rounds)
            rates = f"{best:6.0f} schedules/s {best * 2 * COMMANDS:7.0f} commands/s"
            print(f"{self.name:16} {kind:16} {rates} {cpu_ms:6.2f} ms CPU a schedule")
        pairs = list(zip(*self.told, strict=True))
        times = statistics.median(under / without for (without, _), (under, _) in pairs)
        cpu = statistics.median(under / without for (_, without), (_, under) in pairs)
        print(f"{self.name:16} {'compared':16} {times:6.2f} times as many schedules, {cpu:.2f} times the CPU of each (medians)")


@contextmanager
def questions_timed() -> Generator[list[float]]:
    """How long each question to a Redis takes, in seconds."""
    real, took, (now,) = Connection.ask, list[float](), _REAL_TIME

    def ask(self: Connection, raw: bytes, replies: int = 1) -> bytes:
        began = now()
        try:
            return real(self, raw, replies)
        finally:
            took.append(now() - began)

    Connection.ask = ask  # type: ignore[method-assign]
    try:
        yield took
    finally:
        Connection.ask = real  # type: ignore[method-assign]


def print_share_of_the_server(schedules: int) -> None:
    """How much of a schedule the server and the way there and back take."""
    with bench(on_redis) as own:
        program, found, choose = Program("ok", 2, None), Findings(schedules=2), alternating()
        own.schedule(program, choose, found)  # The server starts.
        with questions_timed() as took:
            rate, _ = measured(lambda: own.schedule(program, choose, found), schedules)
    waits_ms = sum(took) / schedules * 1000
    print(f"redis-py         of the {1000 / rate:.2f} ms of a schedule, {waits_ms:.2f} ms pass until the server has answered")


def print_processes(seconds: float) -> None:
    """How many schedules a proof draws in the same time with one process, and with one for each core."""
    cores = len(ALL_CORES)
    rates = dict[int, list[float]]()
    for jobs in (1, cores, 1, cores, 1, cores):
        with wherever_the_kernel_likes():
            proof = prove(on_redis, budget_s=seconds, jobs=jobs, deep=True)
        rates.setdefault(jobs, []).append(proof.schedules / proof.seconds)
    for jobs, of_jobs in rates.items():
        print(
            f"redis-py         a proof, --jobs {jobs} {statistics.median(of_jobs):6.0f} schedules/s from its start to its end"
        )


def alternating() -> Callable[[list[Worker]], Worker]:
    """Whoever has not gone on last goes on: a switch at each command."""
    last = -1

    def choose(ready: list[Worker]) -> Worker:
        nonlocal last
        worker = next((worker for worker in ready if worker.index != last), ready[0])
        last = worker.index
        return worker

    return choose


@contextmanager
def wherever_the_kernel_likes() -> Generator[None]:
    """Without the one core that a proof keeps itself and its servers on."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, ALL_CORES)
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours)


def measured(one: Callable[[], object], schedules: int) -> tuple[float, float]:
    """Schedules a second, and milliseconds of CPU each."""
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(schedules):
        one()
    return schedules / (time.perf_counter() - began), (time.process_time() - cpu) / schedules * 1000


def main() -> None:
    """Measures, and prints the best of several rounds of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("word", nargs="?", default="", help="only what has this in its name")
    parser.add_argument("--schedules", type=int, default=100, help="of each round (default: 100)")
    arguments = parser.parse_args()
    with running_redis() as server, postgres_process(is_virtual=False) as (path, _):
        url, dsn = f"unix://{server.path}", f"host={path.parent} dbname=postgres user={USER}"
        with psycopg.connect(dsn) as connection:
            connection.execute(TABLE)
        subjects = [
            Subject("redis-py", on_redis, partial(plain_redis, url)),
            Subject("redis.asyncio", on_redis_async, partial(plain_redis_async, url)),
            Subject("psycopg", on_postgres, partial(plain_postgres, dsn)),
        ]
        chosen = [subject for subject in subjects if arguments.word in subject.name]
        for _ in range(ROUNDS):
            for subject in chosen:
                subject.round(arguments.schedules)
    for subject in chosen:
        subject.print()
    if arguments.word in "redis-py":
        print_processes(PROOF_S)
        print_share_of_the_server(arguments.schedules)


if __name__ == "__main__":
    main()
