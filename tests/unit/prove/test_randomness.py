from __future__ import annotations

import os
import random
import secrets
import subprocess
import sys
import time
import uuid
from functools import partial
from random import random as taken_by_name
from typing import TYPE_CHECKING

from interlock.prove.effect import Effect
from interlock.prove.randomness import Chance, controlled_randomness
from interlock.prove.scheduler import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from interlock.prove.worker import Worker


def draws() -> dict[str, object]:
    """One draw from each source."""
    shuffled = list(range(100))
    random.shuffle(shuffled)
    return {
        "random.random": random.random(),
        "random.choice": random.choice(range(10**9)),
        "random.shuffle": shuffled,
        "from random import random": taken_by_name(),
        "an instance of its own": random.Random().random(),
        "SystemRandom": random.SystemRandom().random(),
        "os.urandom": os.urandom(16),
        "uuid1": uuid.uuid1(),
        "uuid4": uuid.uuid4(),
        "secrets.token_hex": secrets.token_hex(),
        "secrets.randbelow": secrets.randbelow(10**9),
        "getpid": os.getpid(),
    }


def _same(worker: Chance) -> Chance:
    return worker


def drawn_by(*workers: Chance) -> list[dict[str, object]]:
    """What each of these draws."""
    told: list[dict[str, object]] = []
    for worker in workers:
        with controlled_randomness(partial(_same, worker)):
            told.append(draws())
    return told


def test_the_same_worker_draws_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_729_175_837_250_000_000)
    one, other = drawn_by(Chance(0, "A", 0, 0), Chance(0, "A", 0, 0))

    assert one == other


def test_no_two_workers_and_no_two_lives_of_one_draw_the_same() -> None:
    told = drawn_by(Chance(0, "A", 0, 0), Chance(0, "B", 0, 1), Chance(0, "A", 1, 2), Chance(1, "A", 0, 3))

    for source in told[0]:
        assert len({str(draws[source]) for draws in told}) == len(told), source


def test_one_worker_never_gets_the_same_uuid1_twice() -> None:
    chance = Chance(0, "A", 0, 0)

    with controlled_randomness(lambda: chance):
        assert len({uuid.uuid1() for _ in range(100)}) == 100


def test_outside_of_a_schedule_chance_is_real() -> None:
    real = os.getpid()
    with controlled_randomness(lambda: None):
        assert os.urandom(16) != os.urandom(16)
        assert os.getpid() == real
        assert uuid.uuid4() != uuid.uuid4()


def test_everything_is_put_back() -> None:
    before = (os.urandom, random.random, uuid.uuid1, os.getpid, random.Random.seed, taken_by_name)
    with controlled_randomness(lambda: None):
        assert os.urandom is not before[0]

    assert (os.urandom, random.random, uuid.uuid1, os.getpid, random.Random.seed, taken_by_name) == before


def test_what_is_drawn_does_not_depend_on_the_hash_seed_of_the_process() -> None:
    program = "from interlock.prove.randomness import Chance; print(Chance(0, 'A', 0, 0).source.random())"
    told = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(told) == 1


def test_what_a_worker_draws_does_not_depend_on_when_the_others_run() -> None:
    def values(choose: Callable[[list[Worker]], Worker]) -> dict[str, list[float]]:
        run, seen = Run(choose), dict[str, list[float]]()

        def task() -> None:
            for _ in range(3):
                run.effect(Effect("test", "one"), lambda: None, str)
                seen.setdefault(run.current().name, []).append(random.random())

        with controlled_randomness(run.chance):
            run.go([task, task])
        return seen

    assert values(lambda ready: ready[0]) == values(lambda ready: ready[-1])


def test_a_worker_that_is_started_again_under_the_same_name_draws_anew() -> None:
    run, seen = Run(lambda ready: ready[0]), list[bytes]()
    with controlled_randomness(run.chance):
        for _ in range(3):
            run.go([lambda: seen.append(os.urandom(8))], ["recovery"])

    assert len(set(seen)) == 3
