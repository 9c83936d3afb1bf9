"""Modules that do not come back, or do their work where nobody sees it; and a contract for each."""

from __future__ import annotations

import ctypes
import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from interlock.prove.contract import contract

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.contract import Contract
    from interlock.prove.world import World


def under_contract(task: Callable[[], object]) -> Contract:
    def nothing_is_charged(world: World) -> None:
        bank = world.provider("http://pay.example/charges")
        world.run(task)
        world.check(bank.charged_at_most_once("p1"))

    return contract(faults=0)(nothing_is_charged)


def computes() -> None:
    any(iter(int, 1))  # computes


def sleeps() -> None:
    ctypes.CDLL(None).sleep(3600)  # sleeps


def waits_for_itself() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()  # waits_for_itself


def forks() -> None:
    if os.fork() == 0:  # forks
        os._exit(0)


def starts_a_program() -> None:
    subprocess.run([sys.executable, "--version"], check=True)  # starts_a_program


def starts_a_process() -> None:
    multiprocessing.get_context("fork").Process(target=print).start()  # starts_a_process


def starts_a_thread() -> None:
    threading.Thread(target=print).start()  # starts_a_thread


def hides_a_thread() -> None:
    try:
        threading.Thread(target=print).start()  # hides_a_thread
    except Exception:  # noqa: BLE001, S110 - as such code does.
        pass


def dies() -> None:
    faulthandler.disable()  # A run of tests that is well should not look as if it were not.
    signal.raise_signal(signal.SIGSEGV)


@contract(faults=0)
def never_comes_back(world: World) -> None:
    bank = world.provider("http://pay.example/charges")
    world.run(computes)
    world.check(bank.charged_at_most_once("p1"))
