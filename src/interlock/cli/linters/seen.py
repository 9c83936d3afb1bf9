"""What a linter is told of one file: the same as `check` says, by the settings of the project around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.check.inspect import Inspection, inspect
from interlock.check.run import CheckSettings
from interlock.cli.settings import project_around
from interlock.source.module import is_test_path

if TYPE_CHECKING:
    from pathlib import Path


def in_file(path: Path, content: bytes) -> Inspection:
    """What is seen in a file. Nothing, if the settings exclude it.

    Raises UsageError if the settings are not right.
    """
    project = project_around(path.absolute().parent)
    inside = project.inside(path)
    if CheckSettings.of(project.document).excludes(inside):
        return Inspection()
    return inspect(inside, content, project.hazards, is_test=is_test_path(inside))
