"""The GitLab job: its script is run as a runner would, in a real repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

if TYPE_CHECKING:
    from tests.conftest import Git

TEMPLATE = Path(__file__).parents[2] / "templates" / "interlock.gitlab-ci.yml"
BAD = "import time\n\ndef new_order(user):\n    order_id = f'{user.id}-{int(time.time())}'\n    return order_id\n"


@pytest.mark.parametrize(("dry_run", "code"), [("", 1), ("1", 0)])
def test_a_change_with_a_hazard_fails_and_leaves_its_reports(git: Git, tmp_path: Path, dry_run: str, code: int) -> None:
    job: Any = YAML(typ="safe", pure=True).load(TEMPLATE.read_text())["interlock"]  # pyright: ignore[reportUnknownMemberType]
    base, head = git.commit({"shop.py": "x = 1\n"}), git.commit({"shop.py": BAD})
    python = tmp_path / "interlock" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    given = {"CI_BUILDS_DIR": str(tmp_path), "CI_MERGE_REQUEST_DIFF_BASE_SHA": base, "CI_COMMIT_SHA": head}
    given |= {"GITLAB_TOKEN": "", "INTERLOCK_DRY_RUN": dry_run}
    done = subprocess.run(["sh", "-e", "-c", *job["script"]], cwd=git.root, env={**os.environ, **given}, check=False)

    assert done.returncode == code
    reports = [job["artifacts"]["reports"]["codequality"], *job["artifacts"]["paths"]]
    assert all((git.root / name).stat().st_size for name in reports)
    assert [found["check_name"] for found in json.loads((git.root / reports[0]).read_text())] == ["identity/coarse-clock"]
