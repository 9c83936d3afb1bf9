from __future__ import annotations

import importlib
import pickle
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from interlock.prove.effect import Effect
from interlock.prove.imports import Spare
from interlock.prove.scheduler import Run
from interlock.prove.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FILES = {
    "__init__.py": "from till.queue import Queue\n",
    "state.py": "SEEN = []\n",
    "money.py": (
        "import enum\nfrom dataclasses import dataclass\n"
        "class Currency(enum.Enum):\n    EUR = 1\n"
        "@dataclass(frozen=True)\nclass Money:\n    amount_minor: int\n    currency: Currency\n"
    ),
    "queue.py": (
        "from till import money, state\n"
        "class Queue:\n"
        "    def __init__(self, *payments):\n        self.payments = list(payments)\n"
        "    def note(self, what):\n        state.SEEN.append(what)\n        return list(state.SEEN)\n"
        "    def takes(self, payment):\n"
        "        return isinstance(payment, money.Money) and payment.currency is money.Currency.EUR\n"
        "    def late(self):\n        import till.late\n        till.late.COUNT += 1\n        return till.late.COUNT\n"
    ),
    "late.py": "COUNT = 0\n",
    "files.py": (
        "from importlib.resources import files\n"
        "def rates():\n    return files('till').joinpath('data', 'rates.txt').read_text()\n"
    ),
    "once.py": (
        "import threading\nif hasattr(threading, 'till'):\n    raise ValueError('registered twice')\nthreading.till = 1\n"
    ),
}


@pytest.fixture
def till(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A package with a memory."""
    (tmp_path / "till").mkdir()
    for name, text in FILES.items():
        (tmp_path / "till" / name).write_text(text)
    (tmp_path / "till" / "data").mkdir()
    (tmp_path / "till" / "data" / "rates.txt").write_text("EUR 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("till")
    for name in [name for name in sys.modules if name.partition(".")[0] == "till"]:
        del sys.modules[name]


MEMORIES = {
    "a name": "COUNT = 0\ndef count():\n    global COUNT\n    COUNT += 1\n    return COUNT\n",
    "a new name": "def count():\n    globals()['n'] = globals().get('n', 0) + 1\n    return globals()['n']\n",
    "a list": "SEEN = []\ndef count():\n    SEEN.append(1)\n    return len(SEEN)\n",
    "a list in a dictionary": "SEEN = {'a': []}\ndef count():\n    SEEN['a'].append(1)\n    return len(SEEN['a'])\n",
    "a class": "class Count:\n    made = 0\ndef count():\n    Count.made += 1\n    return Count.made\n",
    "a default": "def count(seen=[]):\n    seen.append(1)\n    return len(seen)\n",
    "a closure": "def made():\n    seen = []\n    return lambda: (seen.append(1), len(seen))[1]\ncount = made()\n",
    "a cache": "import functools\nSEEN = set()\n@functools.cache\ndef count():\n    return len(SEEN) or SEEN.add(1) or 1\n",
    "beside a reader of JSON": (
        "import json\nREAD = json.JSONDecoder().scan_once\nSEEN = []\ndef count():\n    SEEN.append(1)\n    return len(SEEN)\n"
    ),
    "what nobody knows": "import itertools\nnumbers = itertools.count(1)\ndef count():\n    return next(numbers)\n",
}


class Shop:
    """Runs a task in each of two workers, one effect after the other, and tells what each gave back."""

    def __init__(self, spare: Spare | None = None) -> None:
        self.run = Run(lambda ready: ready[-1])
        self.world = World(self.run, None, "ok")
        self.world.home = __name__
        self.world.spare = {} if spare is None else spare

    def told(self, task: Callable[[], object], workers: int = 2) -> list[Any]:
        answers: dict[str, object] = {}

        def whole() -> None:
            name = self.run.current().name
            self.run.effect(Effect("test", "before"), lambda: None, str)
            answers[name] = task()

        self.world.run(whole)
        self.run.go([*self.world.tasks] * workers)
        errors = [worker.error for worker in self.run.workers if worker.error is not None]
        assert errors == []
        self.world.close()
        return [answers[name] for name in sorted(answers)]


def test_what_a_module_keeps_no_other_worker_sees_and_neither_do_we(till: Any) -> None:
    shop = Shop()
    queue = shop.world.subject(till.Queue)

    assert shop.told(lambda: queue().note("one")) == [["one"], ["one"]]
    assert sys.modules["till.state"].SEEN == []


def test_within_one_worker_it_is_kept(till: Any) -> None:
    shop = Shop()
    queue = shop.world.subject(till.Queue)

    assert shop.told(lambda: (queue().note("one"), queue().note("two"))[1]) == [["one", "two"], ["one", "two"]]


def test_a_subject_that_is_made_by_a_function_of_the_contract_is_imported_anew_too(till: Any) -> None:
    shop, kind = Shop(), till.Queue
    queue = shop.world.subject(lambda: kind())  # noqa: PLW0108 - it is the function that counts.

    assert shop.told(lambda: queue().note("one")) == [["one"], ["one"]]


def test_contract_and_module_speak_of_the_same_classes(till: Any) -> None:
    shop, money = Shop(), importlib.import_module("till.money")
    queue = shop.world.subject(till.Queue)
    payment = money.Money(4999, money.Currency.EUR)

    assert shop.told(lambda: queue().takes(payment)) == [True, True]
    assert shop.told(lambda: queue().takes(money.Money(4999, money.Currency.EUR))) == [True, True]


def test_what_is_given_to_a_subject_is_of_its_own_classes(till: Any) -> None:
    shop, money = Shop(), importlib.import_module("till.money")
    queue = shop.world.subject(till.Queue, money.Money(1, money.Currency.EUR))

    assert shop.told(lambda: queue().takes(queue().payments[0])) == [True, True]


def test_a_module_that_is_imported_late_is_each_workers_own(till: Any) -> None:
    shop = Shop()
    queue = shop.world.subject(till.Queue)

    assert shop.told(lambda: queue().late()) == [1, 1]
    assert "till.late" not in sys.modules


def test_what_is_pickled_by_name_is_found_again(till: Any) -> None:
    shop = Shop()
    queue = shop.world.subject(till.Queue)

    assert shop.told(lambda: type(pickle.loads(pickle.dumps(queue()))) is type(queue())) == [True, True]


def test_what_changes_stays_what_the_contract_takes_it_for(till: Any) -> None:
    shop, ledger = Shop(), till.Queue()
    queue = shop.world.subject(till.Queue)
    shop.told(lambda: ledger.payments.append(queue().note("one")))

    assert ledger.payments == [["one"], ["one"]]


def test_a_module_that_cannot_be_imported_twice_is_shared_and_it_is_said(till: Any) -> None:  # noqa: ARG001 - it is there.
    once = importlib.import_module("till.once")
    kind: Any = type("Queue", (), {"__module__": "till.once", "memory": lambda _: id(once)})
    setattr(once, "Queue", kind)  # noqa: B010 - a module has none, as far as a type checker knows.
    shop = Shop()
    queue = shop.world.subject(kind)
    with pytest.warns(
        UserWarning, match=r"till\.once cannot be imported once for each worker \(ValueError: registered twice\)"
    ):
        told = shop.told(lambda: queue().memory())
    del threading.till  # type: ignore[attr-defined]

    assert told == [id(once)] * 2


@pytest.mark.parametrize("memory", MEMORIES)
def test_what_a_worker_of_one_schedule_remembers_no_worker_of_the_next_does(till: Any, tmp_path: Path, memory: str) -> None:  # noqa: ARG001 - it is there.
    (tmp_path / "till" / "counting.py").write_text(MEMORIES[memory])
    counting, spare = importlib.import_module("till.counting"), Spare()
    told = []
    for _ in range(3):
        told += Shop(spare).told(lambda: [counting.count(), counting.count()])

    assert told == ([[1, 1]] if memory == "a cache" else [[1, 2]]) * 6
    assert bool(spare) is (memory != "what nobody knows")


def test_a_worker_of_the_next_schedule_has_the_same_import_if_that_can_forget(till: Any) -> None:
    spare, modules = Spare(), set()
    for _ in range(3):
        shop = Shop(spare)
        queue = shop.world.subject(till.Queue)
        modules |= set(shop.told(lambda: id(type(queue()))))  # noqa: B023 - it is done before the next one.

    assert len(modules) == 2


def test_libraries_are_shared() -> None:
    shop = Shop()
    decoder = shop.world.subject(importlib.import_module("json").JSONDecoder)
    kind = importlib.import_module("json").JSONDecoder

    assert shop.told(lambda: type(decoder()) is kind) == [True, True]


def test_a_module_finds_the_files_of_its_package(till: Any) -> None:
    shop, files = Shop(), importlib.import_module("till.files")

    assert till.Queue
    assert shop.told(lambda: files.rates()) == ["EUR 1", "EUR 1"]  # noqa: PLW0108 - it is the function that counts.
