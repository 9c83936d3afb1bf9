"""What was seen at each second of a rollout, one JSON document a line: for the plot, and for whoever asks afterwards why."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from interlock.core.errors import WorldError

if TYPE_CHECKING:
    from pathlib import Path

    from interlock.roll.judge import Judgement

_ROWS_MAX: Final = 20_000  # Five and a half hours of seconds; what is plotted is thinned out further.


@dataclass(slots=True)
class Journal:
    """A file of rows."""

    path: Path
    _noted_s: float = 0.0

    def begin(self) -> None:
        """An empty one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("", encoding="utf-8")

    def note(self, at_s: float, step: int, share: float, judgement: Judgement, *, always: bool = False) -> None:
        """One row, at most one a second unless it is one that must not be missed."""
        if at_s - self._noted_s < 1 and not always:
            return
        self._noted_s = at_s
        row = {
            "at_s": round(at_s, 3),
            "step": step,
            "share": share,
            "evidence": judgement.evidence,
            "needed": judgement.needed,
            "exposed": judgement.exposed_users,
            "harmed": judgement.harmed_users,
            "metrics": {metric.name: [metric.canary, metric.expected, metric.evidence] for metric in judgement.metrics},
        }
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            message = f"{self.path}: what was seen cannot be kept: {error.strerror}"
            raise WorldError(message) from error

    def rows(self) -> list[dict[str, Any]]:
        """All of them; a last line that was cut off by a kill is left out, and so is a journal that somebody took away."""
        found: list[dict[str, Any]] = []
        if not self.path.is_file():
            return found
        for line in self.path.read_text(encoding="utf-8").splitlines()[-_ROWS_MAX:]:
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found
