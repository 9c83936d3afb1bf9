"""What a check costs: one changed file as a whole process, also in an assistant's hook, and a large tree against parsing it.

    python benchmarks/check.py            (or: make bench; --one-file leaves the tree out)

Runs alternate (A B A B ...), so that a machine which slows down slows both; medians are printed. The large tree is the standard
library of the Python that runs this, which every machine has. `ruff` joins in where it is installed beside interlock.
"""

from __future__ import annotations

import argparse
import ast
import json
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
    parser.add_argument("--one-file", action="store_true", help="leave the large tree out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        one_file(Path(folder), options.runs)
        if not options.one_file:
            large_tree(Path(folder))


def one_file(folder: Path, runs: int) -> None:
    """One changed file that holds a hazard, as a hook or an editor would check it."""
    changed = folder / "retry_queue.py"
    changed.write_text(CHANGED_FILE)
    ours = {
        "interlock check FILE": [sys.executable, "-m", "interlock", "check", "--quiet", str(changed)],
        "interlock hook claude": [sys.executable, "-m", "interlock", "hook", "claude"],
        "interlock hook cursor": [sys.executable, "-m", "interlock", "hook", "cursor"],
    }
    commands = {"python -c pass": [sys.executable, "-c", "pass"], **ours, **_ruff(changed)}
    events = _events(changed)
    for name, event in events.items():
        answer = subprocess.run(ours[name], input=event, capture_output=True, check=True).stdout
        if b"identity/" not in answer:  # A hook that looks at nothing is fast.
            sys.exit(f"{name} has not seen the hazard: {answer!r}")
    medians_ms = {name: statistics.median(times_ms) for name, times_ms in alternating(commands, runs, events).items()}
    ruff_ms = next((median_ms for name, median_ms in medians_ms.items() if name.startswith("ruff")), None)
    print(f"one changed file, whole process, median of {runs}")
    for name, median_ms in medians_ms.items():
        beside = f", {median_ms / ruff_ms:.1f} times ruff" if ruff_ms and name in ours else ""
        told = f"   {median_ms / LIMIT_MS:.2f} of the limit of {LIMIT_MS:.0f} ms{beside}" if name in ours else ""
        print(f"  {name:24} {median_ms:7.1f} ms{told}")


def _events(changed: Path) -> dict[str, bytes]:
    """What the two assistants tell their hooks before they write such a file."""
    written = {"file_path": str(changed.with_name("written.py")), "content": CHANGED_FILE}
    asked = {"tool_name": "Write", "tool_use_id": "1", "tool_input": written}
    both = {"session_id": "s", "cwd": str(changed.parent), **asked}
    events = {"claude": {**both, "hook_event_name": "PreToolUse"}, "cursor": {**both, "hook_event_name": "preToolUse"}}
    events["cursor"] |= {"workspace_roots": [str(changed.parent)], "conversation_id": "c"}
    return {f"interlock hook {name}": json.dumps(event).encode() for name, event in events.items()}


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


def alternating(commands: dict[str, list[str]], runs: int, given: dict[str, bytes] | None = None) -> dict[str, list[float]]:
    """Milliseconds of each command's runs, taken in turn, after one run of each that does not count.

    Args:
        commands: By name.
        runs: How often each is run.
        given: By name, what a command is to read; others read nothing.
    """
    took: dict[str, list[float]] = {name: [] for name in commands}
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    for turn in range(runs + 1):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, input=(given or {}).get(name, b""), capture_output=True, check=False, env=environment)
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
