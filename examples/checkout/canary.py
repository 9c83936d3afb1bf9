"""Rolls a release of the shop out behind a real HAProxy, with customers who keep coming: `python canary.py RELEASE`.

The release that runs and the one that comes are served by two processes of uvicorn each, on one database. The payment provider
is ours, and tells of every charge as a webhook would: those are the orders. `interlock roll start` does the rest; what it says
is shown, and at the end what the customers were told. RELEASE is one of `canaries/`, or `opening-hours`, which is good.

    python canary.py clock-as-key --times 20      # the figures of 20 rollouts, one line each
    python canary.py opening-hours --kill         # `kill -9` of interlock in each step

Needs haproxy, and what is in `requirements.txt`. The customers come from wrk, if it is installed, or else from `customers.py`.
Exit 0 if the rollout ended as the release deserves, and no customer was told of it but by the canary.
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
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
GOOD = "opening-hours"
USERS = 100_000  # Many more than come: who orders twice is counted once.
START_LIMIT_S = 60.0
INTERLOCK = (sys.executable, "-m", "interlock", "roll")
INSTANCES = 2  # Of each version. One process of Python keeps one core busy, and no more.

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

{pools}
[roll.rollback]
commands = ["touch rolled-back"]
version_url = "http://127.0.0.1:{shop}/healthz"
version = "baseline"
recover_s = 10
"""

STEP = """\
[[roll.step]]
share = {share}
bake_s = {bake_s}
canary_instances = {instances}
baseline_instances = {instances}

"""

POOL = """\
[[roll.source]]
kind = "metrics"
address = "http://127.0.0.1:{port}/metrics/"
names = ["shop_database_connections_in_use"]
at_most = 8                  # Of 15.
"""

HAPROXY = """\
global
    stats socket {folder}/admin level admin
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    balance leastconn
{backends}
frontend shop
    bind 127.0.0.1:{shop}
"""


class CanaryError(Exception):
    """The demonstration cannot go on; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The folder of the project, its ports, and what ends with it."""

    folder: Path
    shop: int  # The ports.
    provider: int
    log: int
    servers: dict[str, list[int]]  # By their version.
    stack: ExitStack

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
        return subprocess.run([*INTERLOCK, *arguments], cwd=self.folder, stdout=subprocess.PIPE, text=True, check=False)

    def bakes(self, step: int) -> bool:
        """Whether the rollout is in this step, the share in force."""
        try:
            state = json.loads((self.folder / ".interlock" / "roll" / "state.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        return (state["phase"], state["step"]) == ("bake", step)


def release(name: str, folder: Path) -> Path:
    """A worktree of a release: the baseline, and what the release changes."""
    shutil.copytree(HERE / "releases" / "baseline", folder / name)
    for changes in (HERE / "releases" / name, HERE / "canaries" / name):
        if changes.is_dir():
            shutil.copytree(changes, folder / name, dirs_exist_ok=True)
    return folder / name


def open_shop(stage: Stage, name: str, steps: str) -> None:
    """Serves both releases, with people who have signed up, and puts HAProxy in front."""
    stage.run(sys.executable, str(HERE / "provider.py"), str(stage.provider), "orders.jsonl")
    for version, worktree in {"baseline": release("baseline", stage.folder), "canary": release(name, stage.folder)}.items():
        for port in stage.servers[version]:
            serve(stage, version, worktree, port)
    sign_up(stage.folder / "shop.db")
    pools = "\n".join(POOL.format(port=port) for port in stage.servers["canary"])
    settings = SETTINGS.format(steps=steps, pools=pools, log=stage.log, shop=stage.shop)
    (stage.folder / "interlock.toml").write_text(settings, encoding="utf-8")
    config = stage.folder / "haproxy.cfg"
    lines = stage.interlock("haproxy", "--write-map").stdout
    config.write_text(HAPROXY.format(folder=stage.folder, shop=stage.shop, backends=backends(stage)) + lines, encoding="utf-8")
    faults = stage.interlock("haproxy", "--lint", "haproxy.cfg")
    if faults.returncode:
        raise CanaryError(faults.stdout)
    stage.run("haproxy", "-db", "-f", str(config))
    wait("HAProxy", lambda: answers(stage.shop, "/healthz"))


def serve(stage: Stage, version: str, worktree: Path, port: int) -> None:
    """One process of a version; it is waited for, because the first one makes the tables."""
    environment = {
        "SHOP_DATABASE_URL": f"sqlite:///{stage.folder}/shop.db",
        "SHOP_PROVIDER_URL": f"http://127.0.0.1:{stage.provider}",
        "SHOP_PROVIDER_KEY": "secret",
    }
    stage.run(sys.executable, str(HERE / "serve.py"), str(worktree), str(port), version, environment=environment)
    wait(f"the {version}", lambda: answers(port, "/healthz"))


def backends(stage: Stage) -> str:
    """Both sides, as HAProxy knows them."""
    lines = []
    for version, ports in stage.servers.items():
        lines += [f"backend {version}", *(f"    server {version}{port} 127.0.0.1:{port}" for port in ports)]
    return "\n".join(lines)


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


def customers(stage: Stage, rate: int) -> subprocess.Popen[str]:
    """They come until they are told to go, and print then what they were told."""
    if wrk := shutil.which("wrk"):
        script, address = str(HERE / "customers.lua"), f"http://127.0.0.1:{stage.shop}"
        return stage.run(
            wrk, "-t1", f"-c{rate}", "-d1h", "--timeout", "20s", "-s", script, address, "--", str(USERS)
        )  # fmt: skip
    script, port = str(HERE / "customers.py"), str(stage.shop)
    return stage.run(
        sys.executable, script, port, "--checkout", "--rate", str(rate), "--seconds", "3600", "--users", str(USERS)
    )  # fmt: skip


def roll(stage: Stage, options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """One rollout: what interlock found, and what the customers were told."""
    load = customers(stage, options.rate)
    begun_s = time.monotonic()
    if options.kill:
        kill_in_each_step(stage, options.shares.count(",") + 1)
    quiet = ["--quiet"] if options.quiet or options.times > 1 else []
    done = stage.interlock("start", "--format", "json", "--report", "report.html", *quiet)
    load.send_signal(signal.SIGINT)
    told = json.loads(load.communicate()[0].splitlines()[-1])
    if not done.stdout:
        raise CanaryError(f"interlock roll start ended with {done.returncode}")
    found = json.loads(done.stdout)
    if found["phase"] == "done":
        stage.interlock("abort")  # For the next time.
    return found, {**told, "seconds": time.monotonic() - begun_s}


def kill_in_each_step(stage: Stage, steps: int) -> None:
    """`kill -9` of interlock a second after each step has begun. Whoever starts it again afterwards is its successor."""
    for step in range(steps):
        killed = stage.run(*INTERLOCK, "start", "--quiet")
        wait(f"step {step + 1}", lambda step=step: stage.bakes(step))
        time.sleep(1)
        killed.kill()
        killed.communicate()
        if not stage.bakes(step):
            raise CanaryError(f"step {step + 1} was over before interlock was killed; a longer --bake is needed")


def show(found: dict[str, Any], told: dict[str, Any]) -> str:
    """One rollout in a line."""
    answers = ", ".join(f"{count} x {answer}" for answer, count in sorted(told["answers"].items()))
    after = found["decided_after"]
    return (
        f"{found['phase']} at step {found['step']} after {after['seconds']:.1f} s"
        f" and {after['requests']} requests of the canary: {found['reason']}\n"
        f"    the customers, {sum(told['answers'].values()) / told['seconds']:.0f} a second: {answers},"
        f" {told['broken']} broken connections"
    )


def summary(rollouts: list[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """All of them in a line or two."""
    ends = Counter(f"{found['phase']} at step {found['step']}" for found, _ in rollouts)
    seconds = [found["decided_after"]["seconds"] for found, _ in rollouts]
    failed = [sum(count for answer, count in told["answers"].items() if not answer.endswith(" 200")) for _, told in rollouts]
    rates = [sum(told["answers"].values()) / told["seconds"] for _, told in rollouts]
    return (
        f"{', '.join(f'{count} x {end}' for end, count in ends.items())}; {median(rates):.0f} checkouts a second\n"
        f"seconds: median {median(seconds):.1f}, most {max(seconds):.1f}; "
        f"failed answers: median {median(failed):g}, most {max(failed)}"
    )


def play(options: argparse.Namespace) -> int:
    """The whole demonstration."""
    shares = [float(share) for share in options.shares.split(",")]
    steps = "".join(STEP.format(share=share, bake_s=options.bake, instances=INSTANCES) for share in shares)
    with ExitStack() as stack:
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # The code is shown, not the disk of this machine.
        temporary = tempfile.TemporaryDirectory(prefix="canary-", dir=memory, ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(temporary))
        shop, provider, log, *others = free_ports(3 + 2 * INSTANCES)
        servers = {"baseline": others[:INSTANCES], "canary": others[INSTANCES:]}
        stage = Stage(folder=folder, shop=shop, provider=provider, log=log, servers=servers, stack=stack)
        open_shop(stage, options.release, steps)
        rollouts = []
        for _ in range(options.times):
            rollouts.append(roll(stage, options))
            print(show(*rollouts[-1]), flush=True)
        if options.times > 1:
            print(summary(rollouts))
        if options.report:
            shutil.copyfile(folder / "report.html", options.report)
    return 0 if all(as_deserved(options.release, *one) for one in rollouts) else 1


def as_deserved(release: str, found: dict[str, Any], told: dict[str, Any]) -> bool:
    """Whether a good release came through and a bad one did not, and nothing failed but what the canary answered."""
    failed = [answer for answer in told["answers"] if not answer.endswith(" 200")]
    if release == GOOD:
        return found["phase"] == "done" and not failed and not told["broken"]
    return found["phase"] == "rolled back" and all(answer.startswith("canary ") for answer in failed) and not told["broken"]


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
    parser.add_argument("--rate", type=int, default=420, help="checkouts a second (%(default)s)")
    parser.add_argument("--shares", default="0.01,0.1,0.5", help="the steps (%(default)s)")
    parser.add_argument("--bake", type=float, default=10, help="seconds a step (%(default)s)")
    parser.add_argument("--times", type=int, default=1, help="how often (%(default)s)")
    parser.add_argument("--kill", action="store_true", help="kill interlock in each step, and start it again")
    parser.add_argument("--report", type=Path, help="keep the page with the plot there")
    parser.add_argument("--quiet", action="store_true", help="print only the results")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if shutil.which("haproxy") is None:
            raise CanaryError("haproxy is not installed")
        if shutil.which("wrk") is None:
            print("wrk is not installed: the customers are Python's, and take their part of the machine", file=sys.stderr)
        return play(options)
    except (CanaryError, OSError) as error:
        print(f"canary.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
