"""The GitHub Action: its steps are run as a runner would, in a real repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

if TYPE_CHECKING:
    from tests.conftest import Git

ACTION = Path(__file__).parents[2] / "action.yml"
BAD = "import time\n\ndef new_order(user):\n    order_id = f'{user.id}-{int(time.time())}'\n    return order_id\n"


def action() -> dict[str, Any]:
    """The action, as it is declared."""
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(ACTION.read_text())  # pyright: ignore[reportUnknownMemberType]
    return loaded


def run_steps(git: Git, temp: Path, inputs: dict[str, str]) -> int:
    """Runs each step until one fails, with a venv whose pip installs nothing; gives the exit code."""
    python = temp / "python"
    made = '"$3/bin"; printf \'#!/bin/sh\\n[ "$2" = pip ] && exit 0\\nexec "%s" "$@"\\n\' "$REAL" > "$3/bin/python"'
    python.write_text(f'#!/bin/sh\nmkdir -p {made}; chmod +x "$3/bin/python"\n')
    python.chmod(0o755)
    runner = {"RUNNER_TEMP": str(temp), "GITHUB_STEP_SUMMARY": str(temp / "summary.md"), "GITHUB_REPOSITORY": "a/shop"}
    given = {"python": str(python), "pull-request": "", "token": "", "dry-run": "false", **inputs}
    for step in action()["runs"]["steps"]:
        if "if" in step:
            continue  # Has a test of its own.
        env = {name: given[value.removeprefix("${{ inputs.").removesuffix(" }}")] for name, value in step["env"].items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=git.root,
            env={**os.environ, **runner, "GITHUB_ACTION_PATH": str(ACTION.parent), "REAL": sys.executable, **env},
            check=False,
        )
        if done.returncode:
            return done.returncode
    return 0


def test_no_value_of_a_pull_request_becomes_part_of_a_script() -> None:
    described = action()
    assert described["runs"]["using"] == "composite"
    assert all("${{" not in step["run"] and step["shell"] == "bash" for step in described["runs"]["steps"])
    assert all(given["description"] for given in described["inputs"].values())


@pytest.mark.parametrize(("dry_run", "code"), [("false", 1), ("true", 0)])
def test_a_change_with_a_hazard_fails_and_the_summary_says_why(git: Git, tmp_path: Path, dry_run: str, code: int) -> None:
    base = git.commit({"shop.py": "x = 1\n"})
    head = git.commit({"shop.py": BAD})
    temp = tmp_path / "runner"
    temp.mkdir()
    assert run_steps(git, temp, {"base": base, "head": head, "dry-run": dry_run}) == code
    assert "identity/coarse-clock" in (temp / "summary.md").read_text()


@pytest.mark.parametrize(
    ("there", "method"), [("", "POST repos/a/shop/issues/7/comments"), ("99", "PATCH repos/a/shop/issues/comments/99")]
)
def test_one_comment_is_made_and_then_kept_up_to_date(tmp_path: Path, there: str, method: str) -> None:
    (step,) = (step for step in action()["runs"]["steps"] if "if" in step)
    assert step["if"] == "${{ always() && inputs.comment == 'true' }}"
    (tmp_path / "interlock.md").write_text("<!-- interlock:gate -->\n")
    gh = tmp_path / "gh"
    gh.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ncase "$*" in *paginate*) echo "{there}";; esac\n')
    gh.chmod(0o755)
    runner = {"RUNNER_TEMP": str(tmp_path), "GITHUB_REPOSITORY": "a/shop", "NUMBER": "7", "GH_TOKEN": ""}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    subprocess.run(command, env={**os.environ, **runner, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, check=True)

    looked, wrote = (tmp_path / "asked").read_text().splitlines()
    assert 'startswith("<!-- interlock:gate -->")' in looked
    assert wrote == f"api --silent --method {method} --field body=@{tmp_path}/interlock.md"
