"""Rolls a release of the shop out behind a real HAProxy, with customers who keep coming: `python canary.py RELEASE`.

The release that runs and the one that comes are served by uvicorn, on one database. The payment provider is ours, and tells of
every charge as a webhook would: those are the orders. `interlock roll start` does the rest; what it says is shown, and at the
end what the customers were told. RELEASE is one of `canaries/`, or `opening-hours`, which is good.

    python canary.py clock-as-key --times 20      # the figures of 20 rollouts, one line each

Needs haproxy, and what is in `requirements.txt`. Exit 0 if the rollout ended as the release deserves.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
GOOD = "opening-hours"
USERS = 100_000  # Many more than come: who orders twice is counted once.
START_LIMIT_S = 60.0

SETTINGS = """\
[roll]
on_unknown = "promote"       # The steps are seconds long: what they cannot see does not keep the good release back.
{steps}
[[roll.metric]]
name = "failures"
kind = "failures"

[[roll.metric]]
name = "orders"
kind = "business"

[roll.router]
kind = "haproxy"
socket = "admin"
map = "roll.map"
learn_s = 1

[[roll.source]]
kind = "haproxy-log"
address = "127.0.0.1:{log}"

[[roll.source]]
kind = "business"
address = "orders.jsonl"
names = ["orders"]

[[roll.source]]
kind = "metrics"
address = "http://127.0.0.1:{canary}/metrics/"
names = ["shop_database_connections_in_use"]
at_most = 8                  # Of 15.

[roll.rollback]
commands = ["touch rolled-back"]
version_url = "http://127.0.0.1:{shop}/healthz"
version = "baseline"
recover_s = 10
"""

HAPROXY = """\
global
    stats socket {folder}/admin level admin
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
backend baseline
    server old 127.0.0.1:{baseline}
backend canary
    server new 127.0.0.1:{canary}
frontend shop
    bind 127.0.0.1:{shop}
"""


class CanaryError(Exception):
    """The demonstration cannot go on; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The folder of the project, its ports, and what ends with it."""

    folder: Path
    ports: dict[str, int]
    stack: ExitStack
    steps: str

    def run(self, *command: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Starts a program that ends with us."""
        log = self.stack.enter_context((self.folder / "programs.log").open("a", encoding="utf-8"))
        process = subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **(environment or {})}
        )
        self.stack.enter_context(process)
        self.stack.callback(process.kill)
        return process

    def interlock(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs `interlock roll`."""
        command = [sys.executable, "-m", "interlock", "roll", *arguments]
        return subprocess.run(command, cwd=self.folder, stdout=subprocess.PIPE, text=True, check=False)


def release(name: str, folder: Path) -> Path:
    """A worktree of a release: the baseline, and what the release changes."""
    shutil.copytree(HERE / "releases" / "baseline", folder / name)
    for changes in (HERE / "releases" / name, HERE / "canaries" / name):
        if changes.is_dir():
            shutil.copytree(changes, folder / name, dirs_exist_ok=True)
    return folder / name


def open_shop(stage: Stage, name: str) -> None:
    """Serves both releases, with people who have signed up, and puts HAProxy in front."""
    worktrees = {"baseline": release("baseline", stage.folder), "canary": release(name, stage.folder)}
    environment = {
        "SHOP_DATABASE_URL": f"sqlite:///{stage.folder}/shop.db",
        "SHOP_PROVIDER_URL": f"http://127.0.0.1:{stage.ports['provider']}",
        "SHOP_PROVIDER_KEY": "secret",
    }
    stage.run(sys.executable, str(HERE / "provider.py"), str(stage.ports["provider"]), "orders.jsonl")
    for version, worktree in worktrees.items():  # One after the other: the first one makes the tables.
        port = stage.ports[version]
        stage.run(sys.executable, str(HERE / "serve.py"), str(worktree), str(port), version, environment=environment)
        wait(f"the {version}", lambda port=port: answers(port, "/healthz"))
    sign_up(stage.folder / "shop.db")
    (stage.folder / "interlock.toml").write_text(SETTINGS.format(steps=stage.steps, **stage.ports), encoding="utf-8")
    lines = stage.interlock("haproxy", "--write-map").stdout
    config = stage.folder / "haproxy.cfg"
    config.write_text(HAPROXY.format(folder=stage.folder, **stage.ports) + lines, encoding="utf-8")
    faults = stage.interlock("haproxy", "--lint", "haproxy.cfg")
    if faults.returncode:
        raise CanaryError(faults.stdout)
    stage.run("haproxy", "-db", "-f", str(config))
    wait("HAProxy", lambda: answers(stage.ports["shop"], "/healthz"))


def sign_up(database: Path) -> None:
    """People who signed up long before; customer 7 comes with the token `token-7`."""
    import sqlite3

    rows = [(str(uuid.uuid4()), f"c{n}@example.com", hashlib.sha256(f"token-{n}".encode()).hexdigest()) for n in range(USERS)]
    with sqlite3.connect(database) as connection:
        connection.executemany("INSERT INTO users (id, email, token_digest) VALUES (?, ?, ?)", rows)
    connection.close()


def answers(port: int, path: str) -> bool:
    """Whether somebody answers there, and well."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def wait(what: str, condition: Callable[[], bool]) -> None:
    """Waits until it is there."""
    deadline_s = time.monotonic() + START_LIMIT_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise CanaryError(f"{what} did not start within {START_LIMIT_S:.0f} s")
        time.sleep(0.1)


def roll(stage: Stage, rate: float, *, quiet: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """One rollout: what interlock found, and what the customers were told."""
    customers = stage.run(
        sys.executable, str(HERE / "customers.py"), str(stage.ports["shop"]), "--checkout", "--rate", str(rate),
        "--seconds", "3600", "--users", str(USERS),
    )  # fmt: skip
    done = stage.interlock("start", "--format", "json", "--report", "report.html", *(["--quiet"] if quiet else []))
    customers.send_signal(signal.SIGTERM)
    told = json.loads(customers.communicate()[0])
    if not done.stdout:
        raise CanaryError(f"interlock roll start ended with {done.returncode}")
    return json.loads(done.stdout), told


def show(found: dict[str, Any], told: dict[str, Any]) -> str:
    """One rollout in a line."""
    answers = ", ".join(f"{count} x {answer}" for answer, count in sorted(told["answers"].items()))
    after = found["decided_after"]
    return (
        f"{found['phase']} at step {found['step']} after {after['seconds']:.1f} s"
        f" and {after['requests']} requests of the canary: {found['reason']}\n"
        f"    the customers: {answers}, {told['broken']} broken connections"
    )


def play(options: argparse.Namespace) -> int:
    """The whole demonstration."""
    shares = [float(share) for share in options.shares.split(",")]
    steps = "".join(f"\n[[roll.step]]\nshare = {share}\nbake_s = {options.bake}\n" for share in shares)
    with ExitStack() as stack:
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # The code is shown, not the disk of this machine.
        temporary = tempfile.TemporaryDirectory(prefix="canary-", dir=memory, ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(temporary))
        names = ("shop", "baseline", "canary", "provider", "log")
        stage = Stage(folder=folder, ports=dict(zip(names, free_ports(len(names)), strict=True)), stack=stack, steps=steps)
        open_shop(stage, options.release)
        wrong = 0
        for _ in range(options.times):
            found, told = roll(stage, options.rate, quiet=options.quiet or options.times > 1)
            wrong += found["phase"] != ("done" if options.release == GOOD else "rolled back")
            print(show(found, told), flush=True)
        if options.report:
            shutil.copyfile(folder / "report.html", options.report)
    return 1 if wrong else 0


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def main() -> int:
    """Parses the arguments; see the module's docstring for the exit codes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    releases = [*sorted(path.name for path in (HERE / "canaries").iterdir() if path.is_dir()), GOOD]
    parser.add_argument("release", choices=releases, metavar="RELEASE", help=", ".join(releases))
    parser.add_argument("--rate", type=float, default=100, help="checkouts a second (%(default)s)")
    parser.add_argument("--shares", default="0.01,0.1,0.5", help="the steps (%(default)s)")
    parser.add_argument("--bake", type=float, default=10, help="seconds a step (%(default)s)")
    parser.add_argument("--times", type=int, default=1, help="how often (%(default)s)")
    parser.add_argument("--report", type=Path, help="keep the page with the plot there")
    parser.add_argument("--quiet", action="store_true", help="print only the results")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if shutil.which("haproxy") is None:
            raise CanaryError("haproxy is not installed")
        return play(options)
    except (CanaryError, OSError) as error:
        print(f"canary.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
