"""What a schedule costs: two workers with six commands each, on a real Redis, beside the same commands without any control.

    python benchmarks/prove_speed.py

All are measured in one run and in turns, because other programs on the machine slow all of them down. CPU time is that of this
process alone. A proof shares one core with its Redis; the commands without control are measured there, too, and elsewhere.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

import redis

from interlock.prove.bench import bench
from interlock.prove.contract import contract
from interlock.prove.invariant import Invariant
from interlock.prove.programs import Program
from interlock.prove.proof import Findings
from interlock.prove.wire.redis_server import running_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from interlock.prove.worker import Worker
    from interlock.prove.world import World

COMMANDS = 6
ROUNDS = 5
ALL_CORES = os.sched_getaffinity(0)


def six_commands(client: redis.Redis, name: str) -> None:
    """Three writes and three reads."""
    for number in range(COMMANDS // 2):
        client.set(f"{name}:{number}", "1")
        client.get(f"{name}:{number}")


@contract(workers=2, faults=0)
def twelve_commands(world: World) -> None:
    """A new client for each worker of each schedule, and nobody who clears up."""
    url = world.redis_url
    world.run(*(lambda name=name: six_commands(redis.Redis.from_url(url), name) for name in "ab"))
    world.recover(times=0)
    world.check(Invariant("nothing", lambda: None))


def alternating() -> Callable[[list[Worker]], Worker]:
    """Whoever has not gone on last goes on: a switch at each command."""
    last = -1

    def choose(ready: list[Worker]) -> Worker:
        nonlocal last
        worker = next((worker for worker in ready if worker.index != last), ready[0])
        last = worker.index
        return worker

    return choose


def plain(path: str, schedules: int) -> None:
    """The same without control: two new clients, six commands each."""
    for _ in range(schedules):
        clients = [redis.Redis(unix_socket_path=path) for _ in "ab"]
        clients[0].flushall()
        for client, name in zip(clients, "ab", strict=True):
            six_commands(client, name)
            client.close()


@contextmanager
def wherever_the_kernel_likes() -> Generator[None]:
    """Without the one core that a proof keeps itself and its servers on."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, ALL_CORES)
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours)


def measured(what: Callable[[], None], schedules: int) -> tuple[float, float]:
    """Schedules a second, and milliseconds of CPU each."""
    began, cpu = time.perf_counter(), time.process_time()
    what()
    return schedules / (time.perf_counter() - began), (time.process_time() - cpu) / schedules * 1000


def main() -> None:
    """Measures, and prints the best of several rounds of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=300, help="of each round (default: 300)")
    schedules: int = parser.parse_args().schedules
    program, found = Program("ok", 2, None), Findings(schedules=2)
    figures: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with running_redis() as anywhere, bench(twelve_commands) as own, running_redis() as beside:

        def controlled() -> None:
            for _ in range(schedules):
                own.schedule(program, alternating(), found)

        for _ in range(ROUNDS):
            with wherever_the_kernel_likes():
                figures["plain redis-py"].append(measured(lambda: plain(str(anywhere.path), schedules), schedules))
            figures["plain, one core"].append(measured(lambda: plain(str(beside.path), schedules), schedules))
            figures["under control"].append(measured(controlled, schedules))
    for name, figure in figures.items():
        best, cpu_ms = max(one for one, _ in figure), min(one for _, one in figure)
        print(f"{name:16} {best:7.0f} schedules/s  {best * 2 * COMMANDS:8.0f} commands/s  {cpu_ms:6.2f} ms CPU a schedule")


if __name__ == "__main__":
    main()
