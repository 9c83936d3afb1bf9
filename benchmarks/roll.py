"""How fast harm is stopped on a real HAProxy: `python benchmarks/roll.py`, 20 rollouts of a release that fails for most users.

The two versions are answers of HAProxy itself, so that the machine's time goes to the customers and to interlock. 98 % of the
baseline's answers are good and 12 % of the canary's, as in the incident; customers come 420 times a second and 1 % of them
see the canary. Counted is what the customers were told. `examples/checkout/canary.py clock-as-key --times 20` does the same
with the shop itself, at the rate that one machine can serve.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlock.core.errors import WorldError
from interlock.roll.routers.haproxy import Haproxy

CUSTOMERS = Path(__file__).resolve().parents[1] / "examples" / "checkout" / "customers.py"

SETTINGS = """\
[[roll.step]]
share = {share}
bake_s = 600

[roll.router]
kind = "haproxy"
socket = "admin"
map = "roll.map"
learn_s = 1

[[roll.source]]
kind = "haproxy-log"
address = "127.0.0.1:{log}"

[roll.rollback]
recover_s = 3
"""

HAPROXY = """\
global
    stats socket {folder}/admin level admin
defaults
    mode http
    timeout connect 2s
    timeout client 20s
    timeout server 20s
backend baseline
    http-request return status 503 content-type text/plain string "baseline" if {{ rand(1000) lt {baseline} }}
    http-request return status 200 content-type text/plain string "baseline"
backend canary
    http-request return status 503 content-type text/plain string "canary" if {{ rand(1000) lt {canary} }}
    http-request return status 200 content-type text/plain string "canary"
frontend shop
    bind 127.0.0.1:{shop}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """One rollout."""

    phase: str
    seconds: float
    failed: int
    answers: int
    broken: int
    rate: float


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def interlock(folder: Path, *arguments: str) -> str:
    """Runs `interlock roll`."""
    command = [sys.executable, "-m", "interlock", "roll", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def rolled(options: argparse.Namespace) -> Stopped:
    """One rollout, on a HAProxy of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="roll-")))
        port = free_port()
        (folder / "interlock.toml").write_text(SETTINGS.format(share=options.share, log=free_port()), encoding="utf-8")
        lines = interlock(folder, "haproxy", "--write-map")
        failing = {"baseline": round(1000 * (1 - options.baseline)), "canary": round(1000 * (1 - options.canary))}
        config = folder / "haproxy.cfg"
        config.write_text(HAPROXY.format(folder=folder, shop=port, **failing) + lines, encoding="utf-8")
        haproxy = stack.enter_context(subprocess.Popen(["haproxy", "-db", "-f", str(config)], stderr=subprocess.DEVNULL))
        stack.callback(haproxy.terminate)
        wait_for(Haproxy(socket=folder / "admin", map=folder / "roll.map"))
        command = [sys.executable, str(CUSTOMERS), str(port), "--rate", str(options.rate), "--seconds", "3600"]
        customers = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        begun_s = time.monotonic()
        found: dict[str, Any] = json.loads(interlock(folder, "start", "--format", "json"))
        customers.send_signal(signal.SIGTERM)
        told = json.loads(customers.communicate()[0])
        answers = sum(told["answers"].values())
    return Stopped(
        phase=found["phase"],
        seconds=found["decided_after"]["seconds"],
        failed=told["answers"].get("canary 503", 0),
        answers=answers,
        broken=told["broken"],
        rate=answers / (time.monotonic() - begun_s),
    )


def wait_for(router: Haproxy) -> None:
    """Until HAProxy answers."""
    for _ in range(200):
        try:
            router.read()
        except WorldError:
            time.sleep(0.05)
        else:
            return


def main() -> int:
    """Prints a line for each rollout, and what they have in common. Exit 1 if one was not stopped."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--rate", type=float, default=420, help="requests a second (%(default)s)")
    parser.add_argument("--share", type=float, default=0.01, help="of the users on the canary (%(default)s)")
    parser.add_argument("--baseline", type=float, default=0.98, help="good answers of the baseline (%(default)s)")
    parser.add_argument("--canary", type=float, default=0.12, help="good answers of the canary (%(default)s)")
    options = parser.parse_args()
    all_of_them = []
    for number in range(1, options.times + 1):
        one = rolled(options)
        all_of_them.append(one)
        print(
            f"{number:3d}  {one.phase}  {one.seconds:6.2f} s  {one.failed:3d} failed on the canary  {one.answers} answers at"
            f" {one.rate:.0f} a second, {one.broken} broken connections",
            flush=True,
        )
    for what, figures in (("seconds", [one.seconds for one in all_of_them]), ("failed", [one.failed for one in all_of_them])):
        print(f"{what}: median {statistics.median(figures):g}, most {max(figures):g}")
    return 0 if all(one.phase == "rolled back" for one in all_of_them) else 1


if __name__ == "__main__":
    sys.exit(main())
