"""What a check costs: one changed file as a whole process, and a large tree against what merely parsing it costs.

    python benchmarks/check.py            (or: make bench)

Runs alternate (A B A B ...), so that a machine which slows down slows both; medians are printed. The large tree is the standard
library of the Python that runs this, which every machine has. `ruff` joins in where it is installed beside interlock.
"""

from __future__ import annotations

import argparse
import ast
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

LIMIT_MS = 100.0
CHANGED_FILE = """
import time
import redis

class PaymentRetryQueue:
    def __init__(self, url):
        self.redis = redis.Redis.from_url(url)

    def key(self, user_id):
        return f"{user_id}:{int(time.time())}"

    def enqueue(self, user_id, payload):
        idempotency_key = self.key(user_id)
        return self.redis.set(idempotency_key, payload, nx=True, ex=86400)
"""


def main() -> None:
    """Prints the two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=21, help="runs of each command (default: 21)")
    runs: int = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        one_file(Path(folder), runs)
        large_tree(Path(folder))


def one_file(folder: Path, runs: int) -> None:
    """One changed file that holds a hazard, as a hook or an editor would check it."""
    changed = folder / "retry_queue.py"
    changed.write_text(CHANGED_FILE)
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "interlock check FILE": [sys.executable, "-m", "interlock", "check", "--quiet", str(changed)],
        **_ruff(changed),
    }
    took = alternating(commands, runs)
    print(f"one changed file, whole process, median of {runs}")
    for name, times_ms in took.items():
        print(f"  {name:24} {statistics.median(times_ms):7.1f} ms")
    median_ms = statistics.median(took["interlock check FILE"])
    print(f"  share of the limit of {LIMIT_MS:.0f} ms: {median_ms / LIMIT_MS:.2f}")


def large_tree(folder: Path) -> None:
    """The standard library, checked, against parsing it alone."""
    library = Path(sysconfig.get_path("stdlib"))
    files = [path for path in library.rglob("*.py") if not {"site-packages", "test", "tests", "lib2to3"} & set(path.parts)]
    sources = [path.read_bytes() for path in files]
    lines = sum(source.count(b"\n") for source in sources)
    tree = folder / "tree"
    for number, source in enumerate(sources):
        target = tree / str(number % 50) / f"m{number}.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source)
    parse_s = statistics.median(_parse_s(sources) for _ in range(3))
    took = alternating({"interlock": [sys.executable, "-m", "interlock", "check", "--quiet", str(tree)], **_ruff(tree)}, 3)
    check_s = statistics.median(took["interlock"]) / 1000
    print(f"\n{len(files)} files, {lines} lines (the standard library), median of 3")
    print(f"  ast.parse of every file  {parse_s:7.2f} s")
    print(
        f"  interlock check          {check_s:7.2f} s   {check_s / parse_s:.1f} times parsing, {lines / check_s:,.0f} lines/s"
    )
    for name, times_ms in took.items():
        if name != "interlock":
            print(f"  {name:24} {statistics.median(times_ms) / 1000:7.2f} s")


def alternating(commands: dict[str, list[str]], runs: int) -> dict[str, list[float]]:
    """Milliseconds of each command's runs, taken in turn, after one run of each that does not count."""
    took: dict[str, list[float]] = {name: [] for name in commands}
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    for turn in range(runs + 1):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, capture_output=True, check=False, env=environment)
            if turn:
                took[name].append((time.perf_counter() - started) * 1000)
    return took


def _ruff(target: Path) -> dict[str, list[str]]:
    program = Path(sys.executable).with_name("ruff")
    command = [str(program), "check", "--isolated", "--no-cache", "--quiet", "--select", "S,B,ASYNC,BLE,TRY,DTZ", str(target)]
    return {"ruff check (S B BLE ...)": command} if program.exists() else {}


def _parse_s(sources: list[bytes]) -> float:
    started = time.perf_counter()
    for source in sources:
        try:
            ast.parse(source)
        except (SyntaxError, ValueError):
            continue
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
