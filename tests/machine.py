"""What a test needs of the machine: where it is missing the test says loudly that it was not run, and in CI it fails."""

from __future__ import annotations

import os
import shutil

import pytest


def needed(*programs: str) -> None:
    """Ends the test unless all of these programs are there."""
    missing = [name for name in programs if not shutil.which(name)]
    if missing:
        not_run(f"no {' and no '.join(missing)} on this machine (make servers)")


def not_run(why: str) -> None:
    """Ends the test."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"NOT RUN: {why}")
    pytest.skip(f"NOT RUN: {why}")
