"""Whole rollouts, as a process of their own, on a real HAProxy with customers who keep coming."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from interlock.roll.routers import Setting
from tests.contract.roll.conftest import wait_until
from tests.documented import disagreements
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.contract.roll.conftest import Running

CUSTOMERS = Path(__file__).resolve().parents[3] / "examples" / "checkout" / "customers.py"

SETTINGS = """\
[roll]
stale_hold_s = 1
stale_abort_s = {stale_abort_s}
on_unknown = "promote"
{steps}
{more}
[roll.router]
kind = "haproxy"
socket = "{folder}/admin"
map = "{folder}/roll.map"
lease_s = {lease_s}
learn_s = 0.5
hold_s = {hold_s}

[[roll.source]]
kind = "haproxy-log"
address = "{log}"
silent_s = 2

[roll.rollback]
commands = ["sh rollback.sh"]
version_url = "http://127.0.0.1:{port}/"
version = "baseline"
recover_s = 10
"""


class Relay:
    """Hands datagrams on, from one port to another, until it is cut."""

    def __init__(self, here: int, there: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", here))
        self._there = there
        self._thread = Thread(target=self._relay)
        self._whole = True
        self._thread.start()

    def _relay(self) -> None:
        self._socket.settimeout(0.1)
        while self._whole:
            with suppress(TimeoutError):
                self._socket.sendto(self._socket.recv(65536), ("127.0.0.1", self._there))

    def cut(self) -> None:
        """From now on it does not."""
        self._whole = False
        self._thread.join()
        self._socket.close()


class Stage:
    """A project folder, a router, and those who come."""

    def __init__(self, haproxy: Running, stack: ExitStack, folder: Path) -> None:
        self.haproxy = haproxy
        self.folder = folder
        self._stack = stack
        (folder / ".git").mkdir()
        (folder / "rollback.sh").write_text("printf x >> rolled-back", encoding="utf-8")

    def declare(
        self,
        *shares: float,
        bake_s: float = 2.0,
        more: str = "",
        lease_s: float = 15,
        stale_abort_s: float = 8,
        hold_s: float = 0,
    ) -> None:
        """Writes the settings."""
        steps = "".join(f"[[roll.step]]\nshare = {share}\nbake_s = {bake_s}\n" for share in shares)
        text = SETTINGS.format(
            folder=self.haproxy.folder,
            port=self.haproxy.port,
            log=self.haproxy.section.log,
            steps=steps,
            more=more,
            lease_s=lease_s,
            hold_s=hold_s,
            stale_abort_s=stale_abort_s,
        )
        (self.folder / "interlock.toml").write_text(text, encoding="utf-8")

    def customers(self, rate: float = 300, *extra: str) -> subprocess.Popen[str]:
        """They come until they are told to go."""
        command = [sys.executable, str(CUSTOMERS), str(self.haproxy.port), "--rate", str(rate), "--seconds", "300", *extra]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._stack.enter_context(process)  # Closes its pipes at the end.
        self._stack.callback(process.kill)
        return process

    @staticmethod
    def told(customers: subprocess.Popen[str]) -> dict[str, Any]:
        """What they were told, once they are gone."""
        customers.terminate()
        answers: dict[str, Any] = json.loads(customers.communicate()[0])
        return answers

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts `interlock roll start`."""
        command = [sys.executable, "-m", "interlock", "roll", "start", "--format", "json", *arguments]
        process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._stack.enter_context(process)  # Closes its pipes at the end.
        self._stack.callback(process.kill)
        return process

    def abort(self) -> None:
        """`interlock roll abort`."""
        subprocess.run([sys.executable, "-m", "interlock", "roll", "abort"], cwd=self.folder, check=True, capture_output=True)

    def ended(self, process: subprocess.Popen[str], *codes: int) -> dict[str, Any]:
        """The result of a rollout."""
        out, err = process.communicate(timeout=180)
        assert process.returncode in codes, out + err
        result: dict[str, Any] = json.loads(out)
        assert disagreements("interlock roll start", result) == []
        return result

    def state(self) -> dict[str, Any]:
        path = self.folder / ".interlock" / "roll" / "state.json"
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return kept

    def reached(self, phase: str, step: int) -> bool:
        state = self.state()
        return bool(state) and (state["phase"], state["step"]) == (phase, step)

    @contextmanager
    def relayed_log(self) -> Generator[Relay]:
        """The log reaches interlock through somebody who can cut it."""
        settings = self.folder / "interlock.toml"
        host, port = self.haproxy.section.log.split(":")
        there = free_port()
        text = settings.read_text(encoding="utf-8").replace(f"{host}:{port}", f"{host}:{there}")
        settings.write_text(text, encoding="utf-8")
        relay = Relay(int(port), there)
        yield relay
        relay.cut()

    @property
    def rolled_back(self) -> int:
        """How often the rollback was run."""
        path = self.folder / "rolled-back"
        return len(path.read_text(encoding="utf-8")) if path.exists() else 0


@contextmanager
def staged(haproxy: Running, folder: Path) -> Generator[Stage]:
    with ExitStack() as stack:
        yield Stage(haproxy, stack, folder)


@pytest.fixture
def stage(haproxy: Running, tmp_path: Path) -> Generator[Stage]:
    with staged(haproxy, tmp_path) as stage:
        yield stage


def test_a_release_that_fails_for_most_is_stopped_at_one_percent(stage: Stage) -> None:
    stage.declare(0.01, 0.1, bake_s=60)
    stage.haproxy.fail("canary", 880)
    stage.haproxy.fail("baseline", 20)
    customers = stage.customers(100)  # One a second sees the canary, so that a second in which we are not let run is not ten.

    result = stage.ended(stage.start("--report", "report.html"), 1)
    told = stage.told(customers)

    assert (result["verdict"], result["phase"], result["step"]) == ("fail", "rolled back", 1)
    assert told["answers"]["canary 503"] <= 10
    assert told["broken"] == 0
    assert [done["verdict"] for done in result["done"]] == ["pass"] * 4
    assert stage.rolled_back == 1
    assert stage.haproxy.router.read().limit == 0
    assert "<svg" in (stage.folder / "report.html").read_text(encoding="utf-8")
    evidence = list((stage.folder / ".interlock" / "evidence" / "roll").glob("*.json"))
    assert len(evidence) == 1


def test_a_good_release_reaches_everyone_and_no_request_fails_on_the_way(stage: Stage) -> None:
    stage.declare(0.01, 0.1, 0.9, bake_s=5)  # On a busy machine, too, more than 300 users see the canary.
    customers = stage.customers()

    result = stage.ended(stage.start(), 0)
    wait_until(lambda: stage.haproxy.get(user="u1").startswith("canary"))
    again = stage.start()
    _, refused = again.communicate(timeout=60)
    told = stage.told(customers)

    assert (result["verdict"], result["phase"], result["step"]) == ("pass", "done", 4)
    assert again.returncode == 2
    assert "sends 100.00% to the canary already" in refused
    assert stage.haproxy.get(user="u1").startswith("canary")
    assert stage.rolled_back == 0
    assert told["broken"] == 0
    assert [answer for answer in told["answers"] if not answer.endswith("200")] == []


def test_a_rollout_that_is_killed_in_every_step_goes_on_where_it_was(stage: Stage) -> None:
    stage.declare(0.01, 0.1, 0.5, bake_s=5, more='[roll.promote]\ncommands = ["touch promoted"]\n')
    customers = stage.customers()
    salts = set[str]()
    for step in range(3):
        killed = stage.start()
        wait_until(lambda step=step: stage.reached("bake", step))
        killed.kill()
        killed.communicate()
        assert stage.reached("bake", step)
        salts.add(stage.state()["salt"])

    result = stage.ended(stage.start(), 0, 3)

    assert result["phase"] == "done"
    assert len(salts) == 1
    assert stage.rolled_back == 0
    assert (stage.folder / "promoted").exists()
    assert stage.haproxy.router.read().limit == 0  # The new version is where the old one was.
    assert stage.told(customers)["broken"] == 0


def test_a_release_that_nobody_has_seen_enough_of_is_not_called_good(stage: Stage) -> None:
    stage.declare(0.01, bake_s=1)
    stage.customers(60)

    result = stage.ended(stage.start(), 3)

    assert (result["phase"], result["verdict"]) == ("done", "unknown")
    assert "too little was seen of failures" in result["reason"]


def test_nobody_is_on_the_canary_if_nobody_starts_it_again(stage: Stage) -> None:
    stage.declare(1.0, bake_s=300, lease_s=2)
    stage.customers()
    killed = stage.start()
    wait_until(lambda: stage.reached("bake", 0))
    wait_until(lambda: stage.haproxy.get(user="u1").startswith("canary"))
    killed.kill()
    killed.communicate()

    wait_until(lambda: stage.haproxy.get(user="u1").startswith("baseline"))


def test_an_abort_that_is_killed_is_brought_to_its_end(stage: Stage) -> None:
    stage.declare(0.5, bake_s=300)
    # One line, which the shell has read whole before it begins: what is written into the file later is not its business.
    (stage.folder / "rollback.sh").write_text("touch begun && exec sleep 60", encoding="utf-8")
    stage.haproxy.fail("canary", 900)
    stage.customers()
    killed = stage.start()
    wait_until((stage.folder / "begun").exists)
    assert stage.reached("abort", 0)
    assert stage.haproxy.router.read().limit == 0
    killed.kill()
    killed.communicate()
    assert stage.rolled_back == 0

    (stage.folder / "rollback.sh").write_text("printf x >> rolled-back", encoding="utf-8")
    result = stage.ended(stage.start(), 1)

    assert (result["phase"], result["verdict"]) == ("rolled back", "fail")
    assert stage.rolled_back == 1


def test_what_falls_silent_is_held_then_stopped_and_never_passed(stage: Stage) -> None:
    stage.declare(0.5, bake_s=2, stale_abort_s=2)
    stage.customers()
    with stage.relayed_log() as relay:
        rollout = stage.start()
        wait_until(lambda: stage.reached("bake", 0))
        relay.cut()

        result = stage.ended(rollout, 3)

    assert (result["phase"], result["verdict"], result["step"]) == ("rolled back", "unknown", 1)
    assert stage.haproxy.router.read().limit == 0


def test_where_nobody_comes_any_more_nothing_goes_on(stage: Stage) -> None:
    stage.declare(0.5, bake_s=4, stale_abort_s=3, hold_s=4)
    customers = stage.customers()
    rollout = stage.start()
    wait_until(lambda: stage.reached("bake", 0))
    customers.kill()

    result = stage.ended(rollout, 3)

    assert (result["phase"], result["step"]) == ("rolled back", 1)
    told = ("nobody has come", "the canary has served nobody")  # The second, if they left before the step had its first.
    assert any(words in result["reason"] for words in told)


def test_a_router_that_sends_more_than_was_asked_is_noticed(stage: Stage) -> None:
    config = stage.haproxy.config.read_text(encoding="utf-8")
    stage.haproxy.config.write_text(config.replace("mod(10000)", "mod(5000)"), encoding="utf-8")
    stage.haproxy.restart()
    stage.declare(0.1, bake_s=60, hold_s=4)  # As long as it takes to be sure; from then on it is held.
    stage.customers()

    result = stage.ended(stage.start(), 3)

    assert result["phase"] == "rolled back"
    assert "to the canary, 10.000% was asked" in result["reason"]


def test_nothing_is_begun_where_nothing_is_heard(stage: Stage) -> None:
    stage.declare(0.5, stale_abort_s=1)
    rollout = stage.start()
    _, err = rollout.communicate(timeout=60)

    assert rollout.returncode == 3
    assert "nothing was begun" in err
    assert stage.haproxy.router.read().limit == 0


def test_orders_that_nobody_tells_of_are_not_taken_for_good_ones(stage: Stage) -> None:
    more = '[[roll.metric]]\nname = "failures"\nkind = "failures"\n[[roll.metric]]\nname = "orders"\nkind = "business"\n'
    source = f'[[roll.source]]\nkind = "business"\naddress = "{stage.folder}/orders"\nnames = ["orders"]\nsilent_s = 1\n'
    stage.declare(0.5, bake_s=2, more=more + source, stale_abort_s=3)
    stage.customers()

    result = stage.ended(stage.start(), 3)

    assert (result["phase"], result["verdict"]) == ("rolled back", "unknown")
    assert "the business events" in result["reason"]


def test_an_abort_by_hand_ends_the_rollout(stage: Stage) -> None:
    stage.declare(0.5, bake_s=300)
    stage.customers()
    rollout = stage.start()
    wait_until(lambda: stage.reached("bake", 0))
    stage.abort()

    result = stage.ended(rollout, 3)

    assert (result["phase"], result["reason"], stage.rolled_back) == ("rolled back", "stopped by hand", 1)
    assert stage.haproxy.router.read().limit == 0


@pytest.mark.parametrize("how", ["somebody closes it", "it is started anew"])
def test_a_router_that_somebody_else_changes_ends_the_rollout(stage: Stage, how: str) -> None:
    stage.declare(0.5, bake_s=300)
    stage.customers()
    rollout = stage.start()
    wait_until(lambda: stage.reached("bake", 0))
    if how == "it is started anew":
        stage.haproxy.restart()
    else:
        stage.haproxy.router.write(stage.haproxy.router.read().closed())

    result = stage.ended(rollout, 3)

    assert "changed by somebody else" in result["reason"]
    assert (result["phase"], stage.rolled_back) == ("rolled back", 1)


def test_a_router_that_is_gone_ends_the_rollout(stage: Stage) -> None:
    stage.declare(0.5, bake_s=300, lease_s=2, stale_abort_s=2)
    stage.customers()
    rollout = stage.start()
    wait_until(lambda: stage.reached("bake", 0))
    stage.haproxy.stop()

    result = stage.ended(rollout, 3)

    assert (result["phase"], result["verdict"], stage.rolled_back) == ("rolled back", "unknown", 1)
    assert result["done"][0]["verdict"] == "unknown"


def test_ctrl_c_takes_everybody_back(stage: Stage) -> None:
    stage.declare(0.5, bake_s=300)
    stage.customers()
    rollout = stage.start()
    wait_until(lambda: stage.reached("bake", 0))
    os.kill(rollout.pid, signal.SIGINT)

    result = stage.ended(rollout, 3)

    assert (result["phase"], result["reason"]) == ("rolled back", "stopped by hand")
    assert stage.haproxy.router.read().limit == 0


def test_half_a_rollout_is_not_gone_on_with_under_another_plan(stage: Stage) -> None:
    stage.declare(0.5, 0.6, bake_s=1)
    stage.customers()
    killed = stage.start()
    wait_until(lambda: stage.reached("bake", 1))
    killed.kill()
    killed.communicate()
    stage.declare(1.0, bake_s=300, more='[[roll.metric]]\nname = "faults"\nkind = "failures"\n')

    other = stage.start()
    _, err = other.communicate(timeout=60)

    assert other.returncode == 2
    assert "another plan is half done" in err

    stage.abort()
    result = stage.ended(stage.start(), 3)

    assert (result["phase"], result["reason"], stage.rolled_back) == ("rolled back", "stopped by hand", 1)


def test_a_share_that_changes_all_the_time_fails_no_request(stage: Stage) -> None:
    customers = stage.customers(500)
    wait_until(lambda: "baseline" in stage.haproxy.get())
    until_s = int(time.time()) + 600
    for number in range(300):
        stage.haproxy.router.write(Setting(limit=number * 37 % 10_000, salt="a1b2", until_s=until_s))
        time.sleep(0.01)
    told = stage.told(customers)

    assert told["broken"] == 0
    assert {answer.split()[1] for answer in told["answers"]} == {"200"}
    assert len(told["answers"]) == 2


def test_two_rollouts_do_not_share_a_router(stage: Stage) -> None:
    stage.declare(0.5, bake_s=300)
    stage.customers()
    stage.start()
    wait_until(lambda: stage.reached("bake", 0))

    second = stage.start()
    _, err = second.communicate(timeout=60)

    assert second.returncode == 2
    assert "another `interlock roll start`" in err


def test_a_release_that_forgets_orders_is_stopped_though_it_answers_200(stage: Stage) -> None:
    more = '[[roll.metric]]\nname = "failures"\nkind = "failures"\n[[roll.metric]]\nname = "orders"\nkind = "business"\n'
    source = f'[[roll.source]]\nkind = "business"\naddress = "{stage.folder}/orders"\nnames = ["orders"]\n'
    stage.declare(0.01, 0.1, bake_s=3, more=more + source)
    settings = stage.folder / "interlock.toml"
    settings.write_text(
        settings.read_text(encoding="utf-8").replace("share = 0.1\nbake_s = 3", "share = 0.1\nbake_s = 200"), encoding="utf-8"
    )
    customers = stage.customers(600, "--orders", str(stage.folder / "orders"), "--forgotten", "0.2")

    result = stage.ended(stage.start(), 1)
    told = stage.told(customers)

    assert (result["phase"], result["step"]) == ("rolled back", 2)
    assert result["reason"].startswith("orders")
    assert [answer for answer in told["answers"] if not answer.endswith("200")] == []
