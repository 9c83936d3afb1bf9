from __future__ import annotations

import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interlock.core.errors import UsageError, WorldError
from interlock.core.verdict import Verdict
from interlock.prove import executors
from interlock.prove.contract import contract
from interlock.prove.explore import prove
from interlock.prove.loading import contracts_in
from interlock.prove.story import story

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.prove.explore import Proof

CONTRACTS = Path(__file__).parent.parent / "prove_subjects" / "queue_contracts.py"


def answer(proof: Proof) -> Any:
    """All of a proof but the time that it took."""
    told = story(proof.violation) if proof.violation else []
    return proof.verdict, proof.schedules, proof.bounds, proof.reason, told


def proofs(name: str | None = None, *, jobs: int = 1, dask: str = "") -> dict[str, Any]:
    found = contracts_in(CONTRACTS, name)
    return {contract.name: answer(prove(contract, budget_s=120, jobs=jobs, dask=dask)) for contract in found}


@pytest.mark.usefixtures("redis_server")
def test_the_answer_is_the_same_for_any_number_of_processes() -> None:
    alone = proofs()

    assert {name: told[0] for name, told in alone.items()} == {
        "right": Verdict.PASS,
        "without_key": Verdict.FAIL,
        "looks_then_takes": Verdict.FAIL,
        "goes_elsewhere": Verdict.UNKNOWN,
    }
    assert proofs(jobs=2) == alone


@contextmanager
def ending(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    with process:
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def dask_cluster(workers: int, folder: Path) -> Iterator[str]:
    """The address of a scheduler with so many workers, each a process."""
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    log = folder / "scheduler.log"
    with log.open("w") as told, ending(subprocess.Popen(dask, stderr=told, encoding="utf-8", cwd=folder)) as scheduler:
        address = told_address(log, scheduler)
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nworkers", str(workers), "--nthreads", "1"]
        command = [*worker, "--no-dashboard", "--local-directory", str(folder)]
        with ending(subprocess.Popen(command, stderr=subprocess.DEVNULL, encoding="utf-8", cwd=folder)):
            yield address


def told_address(log: Path, scheduler: subprocess.Popen[str]) -> str:
    ends_at_s = time.monotonic() + 60
    while (found := re.search(r"tcp://127\.0\.0\.1:\d+", log.read_text())) is None:
        assert scheduler.poll() is None, log.read_text()
        assert time.monotonic() < ends_at_s, "the scheduler does not start"
        time.sleep(0.1)
    return found[0]


def ran(client: Any) -> list[int]:
    """How many calls each worker has carried out."""
    return list(client.run(lambda dask_worker: dask_worker.state.executed_count).values())


@pytest.mark.usefixtures("redis_server")
def test_a_dask_cluster_with_two_workers_gives_the_same_answer(tmp_path: Path) -> None:
    import distributed  # noqa: PLC0415 - heavy, and needed here alone.

    alone = proofs("right")

    with dask_cluster(2, tmp_path) as address, distributed.Client(address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
        client.wait_for_workers(2, timeout=60)
        assert proofs("right", dask=address) == alone
        assert all(calls > 0 for calls in ran(client))


@pytest.mark.usefixtures("redis_server")
def test_a_scheduler_that_is_not_there_is_an_error_of_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "DASK_TIMEOUT_S", 0.5)
    with pytest.raises(WorldError, match="no Dask scheduler at tcp://127"):
        prove(contracts_in(CONTRACTS, "right")[0], dask="tcp://127.0.0.1:1")


def test_a_contract_that_no_other_process_finds_does_not_travel() -> None:
    made_here = contract()(lambda _: None)

    with pytest.raises(UsageError, match="made inside of a function"):
        prove(made_here, dask="tcp://127.0.0.1:1")


def test_no_processes_at_all_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="found 0 jobs"):
        prove(contracts_in(CONTRACTS, "right")[0], jobs=0)
