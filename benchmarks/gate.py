"""What the gate costs: a change of 20 files to a repository of 100,000 lines, with the settings of the example shop.

    python benchmarks/gate.py

The lines are this Python's own library, with the shop beside them: its features, manifests, alerts, routes and drill. The
change adds a function to 19 files and a line to what takes payments. Nothing is on record, so that every question is either
computed anew, which takes the time, or open. Migrations are not part of it. Needs git, promtool and amtool. Prints the least
and the most of three runs; fails if one takes 60 s or more, or if a question that can be computed anew is not answered.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

LIMIT_S = 60.0
LINES_MIN, FILES = 100_000, 20
SHOP = Path(__file__).resolve().parent.parent / "examples" / "checkout" / "releases" / "baseline"
COMPUTED = ("touched", "planted", "canary", "alerts")


def main() -> int:
    """Lays it out, asks three times, prints."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "repository"
        lines = lay_out(root)
        took = [asked(root) for _ in range(3)]
    seconds = [second for second, _ in took]
    verdicts = took[0][1]
    print(f"{lines:,} lines, {FILES} changed files: {min(seconds):.1f} to {max(seconds):.1f} s (limit {LIMIT_S:g})")
    for name, verdict in verdicts.items():
        print(f"  {verdict:8} {name}{' (computed anew)' if name in COMPUTED else ''}")
    is_answered = all(verdicts[name] != "unknown" for name in COMPUTED)
    return int(max(seconds) >= LIMIT_S or not is_answered)


def lay_out(root: Path) -> int:
    """Makes the repository and the change, and answers with how many lines of Python it has."""
    shutil.copytree(SHOP, root)
    lines = 0
    copied: list[Path] = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("**/*.py")):
        if lines >= LINES_MIN:
            break
        if not {"test", "tests", "site-packages", "lib2to3", "idlelib"} & set(path.parts):
            target = root / "lib" / path.relative_to(sysconfig.get_path("stdlib"))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            copied.append(target)
            lines += path.read_bytes().count(b"\n")
    git(root, "init", "--quiet", "--initial-branch=main")
    commit(root)
    git(root, "checkout", "--quiet", "-b", "change")
    for path in copied[:: len(copied) // FILES][: FILES - 1]:
        path.write_bytes(path.read_bytes() + b"\n\ndef added(order):\n    return order.id\n")
    provider = root / "shop" / "payments" / "provider.py"
    provider.write_text(provider.read_text(encoding="utf-8") + "\nRETRIES = 0\n", encoding="utf-8")
    commit(root)
    return lines


def asked(root: Path) -> tuple[float, dict[str, str]]:
    """How long the gate took, in seconds as a whole process, and its verdicts by the name of the question."""
    began_s = time.perf_counter()
    command = [sys.executable, "-m", "interlock", "gate", "--base", "main", "--head", "change", "--format", "json"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began_s
    return seconds, {question["name"]: question["verdict"] for question in json.loads(done.stdout)["questions"]}


def commit(root: Path) -> None:
    """Everything as it is."""
    git(root, "add", "--all")
    git(root, "-c", "user.name=Ada", "-c", "user.email=ada@shop.example", "commit", "--quiet", "--message=a change")


def git(root: Path, *arguments: str) -> None:
    """Runs git."""
    subprocess.run(["git", *arguments], cwd=root, check=True)


if __name__ == "__main__":
    sys.exit(main())
