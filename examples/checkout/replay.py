"""Replays 17 October 2024: what the gate says of the change that was deployed then, and of the right fix.

    python replay.py                  # both, with all the evidence that there is, made now: two minutes or so
    python replay.py --keep FOLDER    # leaves the repository there, with the evidence, to look at

For each of the two the contracts are proved, the tests audited and the alerts drilled; the fix is rolled back in a staging
environment as well, which nobody had done with the other one. Then the gate is asked. Needs what is in `requirements.txt`,
`interlock[prove,gate]`, redis-server, promtool, amtool and ssh-keygen. Exit 0 if the change is stopped for six reasons or more
and the fix passes, 1 if not, 2 if it cannot be tried.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from canary import free_ports, wait
from embedded import running_valkey
from history import HistoryError, lay_out

HERE = Path(__file__).resolve().parent
NOBODYS_KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIHNob3AtZXhhbXBsZS1ub2JvZHktaGFzLXRoaXM"
USUAL_PORT = "18642"
REASONS_MIN = 6
LIMIT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One of the two, and who has read it."""

    base: str
    head: str
    readers: tuple[str, ...]
    is_rehearsed: bool


# One colleague had a look on that day. The fix was read by two.
INCIDENT = Change(base="baseline", head="incident", readers=("mira",), is_rehearsed=False)
FIX = Change(base="incident", head="right-fix", readers=("mira", "jonas"), is_rehearsed=True)


class ReplayError(Exception):
    """It cannot be replayed; says why."""


@dataclass(frozen=True, slots=True)
class Team:
    """The repository, the key that only the pipeline holds, and where staging is."""

    root: Path
    key: Path
    staging: Path
    port: int

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs a program in the repository."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        return subprocess.run(
            command,
            cwd=self.root,
            env=environment
            | {"SHOP_STAGING": str(self.staging), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def interlock(self, *arguments: str, expected: tuple[int, ...]) -> str:
        """What it says. Any other exit code than these means that it did not do its work."""
        done = self.run(sys.executable, "-m", "interlock", *arguments)
        if done.returncode not in expected:
            raise ReplayError(f"interlock {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def git(self, *arguments: str) -> str:
        """What git says."""
        done = self.run("git", *arguments)
        if done.returncode:
            raise ReplayError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip()


@contextmanager
def team(folder: Path) -> Iterator[Team]:
    """The shop's history, with a key of its own among those that may vouch."""
    key = folder / "ci"
    made = subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)], check=False)
    if made.returncode:
        raise ReplayError("ssh-keygen made no key")
    (port,) = free_ports(1)
    public = key.with_suffix(".pub").read_text(encoding="utf-8").split()[1]
    lay_out(folder / "shop", {NOBODYS_KEY: public, USUAL_PORT: str(port)})
    staging = folder / "staging"
    staging.mkdir()
    yield Team(folder / "shop", key, staging, port)


@contextmanager
def staged(team: Team, release: str) -> Iterator[None]:
    """A staging environment on which a release serves, until another one is wanted."""
    (team.staging / "wanted").write_text(release, encoding="utf-8")
    over = threading.Event()
    with running_valkey() as socket:
        keeper = threading.Thread(target=_keep_serving, args=(team, socket, over))
        keeper.start()
        try:
            wait("staging", lambda: _serves(team.port, release))
            yield
        finally:
            over.set()
            keeper.join()


def _keep_serving(team: Team, valkey: Path, over: threading.Event) -> None:
    """What a platform does: serves what is wanted, from a checkout of it."""
    serving, process = "", None
    while not over.wait(0.05):
        wanted = (team.staging / "wanted").read_text(encoding="utf-8").strip()
        if wanted != serving:
            _end(process)
            process, serving = _serve(team, wanted, valkey), wanted
    _end(process)


def _serve(team: Team, release: str, valkey: Path) -> subprocess.Popen[bytes]:
    worktree = team.staging / release
    if not worktree.exists():
        team.git("worktree", "add", "--quiet", "--detach", str(worktree), release)
    environment = {
        "SHOP_DATABASE_URL": f"sqlite:///{team.staging}/shop.db",
        "SHOP_REDIS_URL": f"unix://{valkey}",
        "SHOP_PROVIDER_URL": "http://127.0.0.1:9",
        "SHOP_PROVIDER_KEY": "secret",
    }
    command = [sys.executable, str(HERE / "serve.py"), str(worktree), str(team.port), release]
    return subprocess.Popen(command, env={**os.environ, **environment})


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.terminate()
        process.wait()


def _serves(port: int, release: str) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/version", timeout=2) as answer:
            found: dict[str, str] = json.load(answer)
            return found["version"] == release
    except OSError:
        return False


def make_evidence(team: Team, change: Change) -> None:
    """All that can be known of a change before it ships."""
    sign = ("--sign", str(team.key))
    team.git("checkout", "--quiet", change.head)
    say(f"{change.head}: proving its contracts")
    team.interlock("prove", "contracts/payments.py", "--budget", "120s", "--quiet", *sign, expected=(0, 1))
    say(f"{change.head}: planting hazards under its tests")
    team.interlock("audit", "--tests", "--base", change.base, *sign, expected=(0, 1))
    if change.is_rehearsed:
        say(f"{change.head}: rolling it back in staging")
        with staged(team, change.head):
            back = ("--", "sh", "deploy/roll-out", change.base)
            team.interlock("rehearse", "rollback", "--env", "staging", "--to", change.base, *sign, *back, expected=(0,))


def asked(team: Team, change: Change) -> tuple[str, dict[str, Any]]:
    """The gate's page, and the same for programs."""
    head = team.git("rev-parse", change.head)
    reviews = [{"by": reader, "state": "approved", "commit": head} for reader in change.readers]
    approvals = team.root.parent / f"{change.head}.json"
    approvals.write_text(json.dumps({"version": 1, "author": "the author", "reviews": reviews}), encoding="utf-8")
    approvals.with_name(f"{approvals.name}.sig").unlink(missing_ok=True)
    # The pipeline has asked the platform, and vouches for what it said.
    signed = team.run("ssh-keygen", "-q", "-Y", "sign", "-n", "interlock-evidence", "-f", str(team.key), str(approvals))
    if signed.returncode:
        raise ReplayError(f"the approvals cannot be signed: {signed.stderr.strip()}")
    question = ("gate", "--base", change.base, "--head", change.head, "--approvals", str(approvals))
    page = team.interlock(*question, expected=(0, 1, 3))
    return page, json.loads(team.interlock(*question, "--format", "json", expected=(0, 1, 3)))


def reasons(document: dict[str, Any]) -> list[str]:
    """The questions that speak against a change."""
    return [
        f"{question['verdict']}: {question['question']} {question['answer']}"
        for question in document["questions"]
        if question["required"] and question["verdict"] != "pass"
    ]


def say(what: str) -> None:
    """Progress."""
    print(f"{what} ...", file=sys.stderr, flush=True)


def replay(folder: Path) -> int:
    """Both changes, and whether each got what it deserves."""
    with team(folder) as ours:
        for change in (INCIDENT, FIX):
            make_evidence(ours, change)
        page, document = asked(ours, INCIDENT)
        print(page)
        fixed_page, fixed = asked(ours, FIX)
        print(fixed_page)
    against = reasons(document)
    print(f"{INCIDENT.head}: {document['verdict']}, {len(against)} reasons; {FIX.head}: {fixed['verdict']}")
    is_right = document["verdict"] == "fail" and len(against) >= REASONS_MIN and fixed["verdict"] == "pass"
    return 0 if is_right else 1


def main() -> int:
    """Replays it."""
    parser = argparse.ArgumentParser(description="What the gate says of the change of 17 October 2024, and of the right fix.")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work in this folder, which must be empty, and leave it")
    keep: Path | None = parser.parse_args().keep
    try:
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            return replay(keep.resolve())
        with tempfile.TemporaryDirectory() as scratch:
            return replay(Path(scratch).resolve())
    except (ReplayError, HistoryError, OSError, subprocess.TimeoutExpired) as error:
        print(f"replay.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
