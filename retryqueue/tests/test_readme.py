from __future__ import annotations

import ast
import re
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from provider import running_provider

from retryqueue import Payment, PaymentConflict, State

if TYPE_CHECKING:
    from servers import RedisServer

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TESTS = {
    node.name
    for path in (ROOT / "tests").rglob("test_*.py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", README))))
def test_a_test_that_the_readme_names_is_there(name: str) -> None:
    assert name in TESTS


def test_every_promise_of_the_readme_names_a_test() -> None:
    table = README.partition("## What is promised")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]

    assert len(rows) > 10
    assert [row for row in rows if "`test" not in row] == []


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_what_the_readme_links_to_is_there(target: str) -> None:
    assert (ROOT / target).exists()


EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_nothing_is_left_to_be_filled_in() -> None:
    assert re.findall(r"^[A-Z]{4,}$", README, flags=re.MULTILINE) == []


def test_the_examples_of_the_readme_do_what_they_say(server: RedisServer) -> None:
    enqueueing, charging = EXAMPLES[:2]
    names: dict[str, Any] = {}
    with running_provider() as provider:
        here = charging.replace("https://api.pay.example", provider.url)
        code = f"{enqueueing}\n{here}".replace("redis://localhost:6379/0", server.url).replace("delay_ms=60_000", "delay_ms=0")
        code = code.replace("Worker(", "worker = Worker(").replace(").run()", ")")
        exec(code, names)  # noqa: S102 - our own text.
        with names["queue"] as queue:
            running = threading.Thread(target=names["worker"].run)
            running.start()
            until = time.monotonic() + 90
            while queue.inspect("order-1041").state != State.SUCCEEDED and time.monotonic() < until:
                time.sleep(0.02)
            names["worker"].stop()
            running.join()

            assert names["receipt"].answer == "new"
            assert queue.enqueue(names["payment"]).answer == "duplicate"
            with pytest.raises(PaymentConflict):
                queue.enqueue(replace(names["payment"], amount_minor=1))
        assert provider.ledger() == {"order-1041": 1}


def test_the_example_of_a_derived_key_makes_one() -> None:
    names: dict[str, Any] = {"Payment": Payment}
    exec(f"made = {EXAMPLES[2].strip()}", names)  # noqa: S102 - our own text.

    assert len(names["made"].key) == 32
