"""The checker for pylint: `load-plugins = ["interlock.cli.linters.pylint"]`.

Source: https://pylint.readthedocs.io/en/stable/development_guide/how_tos/custom_checkers.html
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pylint.checkers import BaseRawFileChecker

from interlock.cli.linters.seen import in_file

if TYPE_CHECKING:
    from astroid import nodes  # pyright: ignore[reportMissingTypeStubs]  # Its types are in the package, unmarked.
    from pylint.lint import PyLinter


class Checker(BaseRawFileChecker):
    """Sees each file as a whole."""

    name = "interlock"
    msgs = {  # noqa: RUF012 - pylint's own form.
        "E5801": ("%s", "interlock-hazard", "A known way in which code breaks production; interlock explain tells its story."),
        "W5802": ("%s", "interlock-not-checked", "Something kept interlock from checking the file, or a part of it."),
    }

    def process_module(self, node: nodes.Module) -> None:
        """Reports what is seen in one file."""
        stream = node.stream()
        if stream is None or node.file is None:  # Code that pylint was given without a file.
            return
        with stream:
            seen = in_file(Path(node.file), stream.read())
        for finding in seen.findings:
            place = finding.location
            told = f"{finding.hazard} {finding.message}"
            self.add_message("interlock-hazard", line=place.line, col_offset=place.column - 1, args=(told,))
        for problem in seen.problems:
            self.add_message("interlock-not-checked", line=problem.line or 1, args=(problem.message,))


def register(linter: PyLinter) -> None:
    """What pylint calls."""
    linter.register_checker(Checker(linter))
