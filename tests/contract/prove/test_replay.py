from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from interlock.cli.main import main
from interlock.core.errors import UsageError
from interlock.core.verdict import Verdict
from interlock.prove.replay import Place, Replay, read, replayed, replayed_in_time, write
from tests.documented import disagreements

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHOP = """
import redis
import requests


class Queue:
    def __init__(self, url):
        self.redis = redis.Redis.from_url(url, decode_responses=True)

    def enqueue(self, order):
        self.redis.sadd("payments", order)

    def process(self):
        for order in self.redis.smembers("payments"):
            if self.redis.set(f"lease:{order}", "1", nx=True, px=30_000):
                self.charge(order)
                self.redis.srem("payments", order)

    def charge(self, order):
        requests.post("http://api.pay.example/charges", json={"payment": order}, timeout=5)
"""
CONTRACT = """
from shop import Queue

from interlock.prove.contract import contract


@contract(workers=2, faults=1, kinds=("crash after",))
def charged_once(world):
    bank = world.provider("http://api.pay.example/charges")
    queue = world.subject(Queue, world.redis_url)
    world.given(lambda: queue().enqueue("p1"))
    world.run(lambda: queue().process())
    world.check(bank.charged_once("p1"))
"""
RIGHT = SHOP.replace("timeout=5", "headers={'Idempotency-Key': order}, timeout=5")
# Nothing of this has to do with the payment.
EDITED = SHOP.replace("class Queue:", "VERSION = 2\n\n\nclass Other:\n    pass\n\n\nclass Queue:").replace(
    "    def charge", "    def size(self):\n        return self.redis.scard('payments')\n\n    def charge"
)
OTHERWISE = SHOP.replace("for order in self.redis.smembers", "return\n        for order in self.redis.smembers")


class Shop:
    """A shop and its contract, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "contracts.py").write_text(CONTRACT)

    def says(self, module: str, *arguments: str) -> tuple[int, dict[str, Any]]:
        """What the command answers, in a process of its own, once the module is this one."""
        (self.folder / "shop.py").write_text(module)
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": str(len(arguments[-1]))}
        done = subprocess.run(
            [sys.executable, "-m", "interlock", "prove", *arguments, "--format", "json", "--quiet"],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def again(self, module: str) -> tuple[int, dict[str, Any]]:
        """What the replay of the only finding answers."""
        [file] = (self.folder / ".interlock" / "replays").iterdir()
        code, told = self.says(module, "--replay", str(file.relative_to(self.folder)))
        assert disagreements("interlock prove --replay", told) == []
        return code, told["replays"][0]


@pytest.mark.usefixtures("redis_server")
def test_a_finding_is_kept_and_found_again_until_the_module_is_mended(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    code, told = shop.says(SHOP, "contracts.py", "--budget", "60s")
    [proof] = told["proofs"]

    assert (code, proof["verdict"], proof["confirmed"]["same"]) == (1, "fail", 5)
    assert proof["confirmed"]["killed"] == 5
    file = tmp_path / proof["replay"]
    assert file.stat().st_size < 1000

    code, again = shop.again(SHOP)
    assert (code, again["said"], again["story"]) == (1, "it still breaks the contract", proof["story"])
    code, again = shop.again(EDITED)
    assert (code, again["said"], again["skipped"]) == (1, "it still breaks the contract", [])
    code, again = shop.again(RIGHT)
    assert (code, again["verdict"], again["said"]) == (0, "pass", "it no longer breaks the contract")
    code, again = shop.again(OTHERWISE)
    assert (code, again["verdict"]) == (1, "fail")  # It loses the payment now, whatever strikes.
    assert again["said"] == "it breaks the contract in another way"
    assert again["skipped"] == ["crash after cannot strike A's effect 3, which is not there"]


@pytest.mark.usefixtures("redis_server")
def test_what_no_longer_fits_is_unknown_and_says_what_was_skipped(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    (tmp_path / "shop.py").write_text(RIGHT)
    folder = tmp_path / ".interlock" / "replays"
    replay = Replay(
        "contracts.py::charged_once", "ok", 2, 0, (Place("A", 9, "reset"),), (("B", 7, "A"),), ("p1 was charged twice",), "0"
    )
    write(replay, folder)
    code, again = shop.again(RIGHT)

    assert (code, again["verdict"]) == (3, "unknown")
    assert again["said"] == "it no longer fits, and what is left of it breaks nothing"
    assert again["skipped"] == [
        "reset cannot strike A's effect 9, which is not there",
        "A cannot go on after B's turn 7",
    ]


def remove(folder: Path) -> None:
    (folder / "contracts.py").unlink()


def rename(folder: Path) -> None:
    file = folder / "contracts.py"
    file.write_text(file.read_text().replace("charged_once(world)", "called_otherwise(world)"))


@pytest.mark.parametrize("change", [remove, rename])
def test_a_contract_that_is_gone_is_unknown(tmp_path: Path, change: Callable[[Path], object]) -> None:
    Shop(tmp_path)
    (tmp_path / "shop.py").write_text(RIGHT)
    replay = Replay("contracts.py::charged_once", "ok", 2, 0, (), (), ("p1 was charged twice",), "0")
    path = write(replay, tmp_path / ".interlock" / "replays")
    change(tmp_path)

    told = replayed(path)
    assert told.verdict is Verdict.UNKNOWN
    assert told.said.startswith("it no longer fits: ")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    replay = Replay(
        "a/b.py::charged[a lease ends]",
        "declines once",
        3,
        7,
        (Place("A", 2, "crash after"), Place("B:1", 1, "delay 31 s", (30.0,))),
        (("", 0, "B"), ("A:2", 4, "C")),
        ("p1 was charged twice", "p2 was lost"),
        "0123456789abcdef",
    )

    path = write(replay, tmp_path)
    assert path.name == "charged-a-lease-ends-0123456789abcdef.json"
    assert read(path) == replay


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a replay file"),
        ("[]", "not a replay file"),
        ('{"version": 2}', "version 2 of a replay file, expected 1"),
        ('{"version": 1}', "not a replay file: KeyError: 'contract'"),
        (None, "cannot be read: No such file"),
    ],
)
def test_what_is_no_replay_file_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, message: str
) -> None:
    path = tmp_path / "replay.json"
    if text is not None:
        path.write_text(text)

    assert main(["prove", "--replay", str(path)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("workers", "2"),
        ("workers", -1),
        ("mood", 1),
        ("faults", [{"worker": "a", "effect": 1, "name": "reset"}]),
        ("switches", 3),
    ],
)
def test_a_field_of_another_kind_is_a_usage_error(tmp_path: Path, field: str, value: object) -> None:
    path = write(Replay("a.py::b", "ok", 2, 0, (), (), (), "0"), tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))

    with pytest.raises(UsageError, match="not a replay file"):
        read(path)


@pytest.mark.parametrize("arguments", [[], ["contracts.py", "--replay", "replay.json"]])
def test_either_contracts_or_a_replay_are_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", *arguments]) == 2
    assert "expected a PATH with contracts, or --replay FILE" in capsys.readouterr().err


@pytest.mark.usefixtures("redis_server")
def test_a_replay_of_a_module_that_does_not_come_back_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "contracts.py").write_text(CONTRACT)
    (tmp_path / "shop.py").write_text(SHOP.replace("for order", "any(iter(int, 1))\n        for order", 1))
    replay = Replay(f"{tmp_path}/contracts.py::charged_once", "ok", 2, 0, (), (), ("p1 was charged twice",), "0")
    monkeypatch.setattr("interlock.prove.replay.REPLAYED_WITHIN_S", 5.0)  # Its servers start in it.
    monkeypatch.delitem(sys.modules, "shop", raising=False)  # Another test's: this process may have run that one.

    found = replayed_in_time(write(replay, tmp_path))

    assert found.verdict is Verdict.UNKNOWN
    assert f"{tmp_path}/shop.py" in found.said
