"""A lease that is kept in a row ends by itself too: a worker that is held up past it goes on as if it still had it."""

from __future__ import annotations

import datetime as dt
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import requests

from interlock.core.verdict import Verdict
from interlock.prove.contract import contract
from interlock.prove.explore import Proof, prove

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.world import World

psycopg2: Any = import_module("psycopg2")  # It has no types.

pytestmark = pytest.mark.usefixtures("redis_server", "postgres_server")

JOBS = """
CREATE TABLE jobs (name text PRIMARY KEY, state text NOT NULL DEFAULT 'live', until double precision NOT NULL DEFAULT 0,
    taken timestamptz NOT NULL DEFAULT '2000-01-01');
INSERT INTO jobs VALUES ('p1');
"""
CHARGES = "http://api.pay.example/charges"
POLLS, EVERY_S = 4, 12.0  # A lease of 30 s has ended by the last time, and nobody looks for six seconds after its end.


def until_a_moment(connection: Any) -> int:
    taken = "UPDATE jobs SET until = %s WHERE state = 'live' AND until <= %s"
    return int(connection.execute(taken, (time.time() + 30, time.time())).rowcount)


def for_an_interval(connection: Any) -> int:
    taken = "UPDATE jobs SET taken = now() WHERE state = 'live' AND taken < now() - interval '30 seconds'"
    return int(connection.execute(taken).rowcount)


def for_a_number_of_seconds(connection: Any) -> int:
    taken = "UPDATE jobs SET taken = now() + make_interval(secs => %s) WHERE state = 'live' AND taken < now()"
    return int(connection.execute(taken, (30,)).rowcount)


def for_a_parameter(connection: Any) -> int:
    taken = "UPDATE jobs SET taken = now() + %s WHERE state = 'live' AND taken < now()"
    return int(connection.execute(taken, (dt.timedelta(seconds=30),)).rowcount)


def by_psycopg(dsn: str, take: Callable[[Any], int]) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(POLLS):
            if take(connection):
                requests.post(CHARGES, json={"payment": "p1"}, timeout=5)
                connection.execute("UPDATE jobs SET state = 'paid'")
            time.sleep(EVERY_S)


def by_psycopg2(dsn: str) -> None:
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for _ in range(POLLS):
            now = dt.datetime.now(dt.UTC)
            until = now + dt.timedelta(seconds=30)
            cursor.execute("UPDATE jobs SET taken = %s WHERE state = 'live' AND taken <= %s", (until, now))
            if cursor.rowcount:
                requests.post(CHARGES, json={"payment": "p1"}, timeout=5)
                cursor.execute("UPDATE jobs SET state = 'paid'")
            time.sleep(EVERY_S)
    connection.close()


def proof_of(task: Callable[[str], None]) -> Proof:
    @contract(workers=2, faults=1, kinds=("delay",))
    def on_a_database(world: World) -> None:
        world.given_schema(JOBS)
        dsn = world.postgres_dsn
        bank = world.provider(CHARGES)
        world.run(lambda: task(dsn))
        world.check(bank.charged_at_most_once("p1"))

    return prove(on_a_database, budget_s=120)


@pytest.mark.parametrize("take", [until_a_moment, for_an_interval, for_a_parameter, for_a_number_of_seconds])
def test_a_worker_that_is_held_up_past_its_lease_charges_again(take: Callable[[Any], int]) -> None:
    proof = proof_of(lambda dsn: by_psycopg(dsn, take))

    assert proof.verdict is Verdict.FAIL, proof.reason
    assert proof.violation is not None
    assert [step.fault for step in proof.violation.steps if step.fault] == ["delay 43 s"]


def test_so_does_one_whose_client_puts_values_into_the_statement() -> None:
    proof = proof_of(by_psycopg2)

    assert proof.verdict is Verdict.FAIL, proof.reason
    assert proof.violation is not None
    assert [step.fault for step in proof.violation.steps if step.fault] == ["delay 43 s"]
