"""The demonstration, as `make demo` runs it: real tests, real load on a real Valkey, and the gate's real verdicts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[2] / "examples" / "checkout" / "demo.py"


def test_every_release_of_the_example_gets_the_verdict_it_deserves() -> None:
    ran = subprocess.run([sys.executable, str(DEMO), "--quiet"], capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    gates = {words[0]: words[-2:] for line in ran.stdout.splitlines()[1:] if len(words := line.split()) > 2}
    assert gates["opening-hours"] == ["pass", "pass"]
    assert gates["one-id-for-all"] == gates["incident"] == gates["published-fix"] == ["fail", "fail"]
    assert gates["right-fix"] == ["unknown", "unknown"]
    assert "\033" not in ran.stdout
