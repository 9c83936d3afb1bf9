"""Contracts in a user's own project, run by pytest as it is started there."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

QUEUE = """
import redis, requests

class Queue:
    def __init__(self, url):
        self.redis = redis.Redis.from_url(url, decode_responses=True)

    def enqueue(self, key):
        self.redis.sadd("payments", key)

    def process(self):
        for key in self.redis.smembers("payments"):
            answer = requests.post("http://pay.example/charges", json={"payment": key}, headers=HEADERS, timeout=5)
            if answer.ok:
                self.redis.srem("payments", key)
"""
CONTRACT = '''
from interlock.prove.contracts import contract
from queues import Queue

@contract
def charged_once(world):
    """One payment, two workers."""
    bank = world.provider("http://pay.example/charges")
    queue = world.subject(Queue, world.redis_url)
    world.given(lambda: queue().enqueue("p1"))
    world.run(lambda: queue().process())
    world.check(bank.charged_once("p1"))

def test_of_another_kind():
    assert True
'''
SIGN_UPS = """
from interlock.prove.contracts import UniqueIdentity, contract

class Users:
    def __init__(self):
        self.names = []

    def create(self, name):
        self.names.append(name)
        return "user-1"

@contract
def users(world):
    kept = Users()
    return UniqueIdentity(kept.create, lambda identity: kept.names[0])
"""

pytestmark = pytest.mark.usefixtures("redis_server")


def pytest_in(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


def project(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_contract_that_holds_is_a_test_that_passes(tmp_path: Path) -> None:
    right = QUEUE.replace("HEADERS", '{"Idempotency-Key": key}')
    code, out = pytest_in(project(tmp_path, {"queues.py": right, "test_queue.py": CONTRACT}), "--interlock-budget", "60s")

    assert code == 0, out
    assert "PASSED test_queue.py::charged_once" in out
    assert "PASSED test_queue.py::test_of_another_kind" in out


def test_a_contract_that_is_broken_is_a_test_that_fails_with_the_story(tmp_path: Path) -> None:
    code, out = pytest_in(project(tmp_path, {"queues.py": QUEUE.replace("HEADERS", "{}"), "test_queue.py": CONTRACT}))

    assert code == 1, out
    assert "FAILED test_queue.py::charged_once" in out
    assert "BROKEN: p1 was charged twice" in out
    assert "interlock prove --replay" in out
    assert "Traceback" not in out


def test_unknown_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    right = QUEUE.replace("HEADERS", '{"Idempotency-Key": key}')
    code, out = pytest_in(project(tmp_path, {"queues.py": right, "test_queue.py": CONTRACT}), "--interlock-budget", "0.01s")

    assert code == 1, out
    assert "charged_once: unknown" in out
    assert "unknown: " in out


def test_a_ready_contract_is_a_test_for_each_scenario(tmp_path: Path) -> None:
    project(tmp_path, {"test_users.py": SIGN_UPS})
    code, out = pytest_in(tmp_path, "--collect-only", "-q")

    assert code == 0, out
    assert "test_users.py::users[two sign-ups in quick succession]" in out
    assert out.count("test_users.py::users[") == 5


def test_a_contract_that_cannot_be_set_up_fails_and_says_where(tmp_path: Path) -> None:
    wrong = SIGN_UPS.replace("kept.create, ", "kept.make, ")
    code, out = pytest_in(project(tmp_path, {"test_users.py": wrong}))

    assert code == 1, out
    assert "test_users.py:15: users raises AttributeError: 'Users' object has no attribute 'make'" in out


def test_whoever_has_no_contract_imports_next_to_nothing_of_it(tmp_path: Path) -> None:
    seen = "import sys\n\ndef test_seen():\n    print(sorted(name for name in sys.modules if name.startswith(('interlock', 'greenlet'))))\n"
    code, out = pytest_in(project(tmp_path, {"test_seen.py": seen}), "-s")

    assert code == 0, out
    assert "['interlock', 'interlock.prove', 'interlock.prove.pytest_plugin']" in out
