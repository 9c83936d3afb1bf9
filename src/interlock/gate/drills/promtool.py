"""Which alerts fire on some series, and when: asked of Prometheus's own `promtool test rules`.

Of each alert it is claimed for every moment that nothing fires. What promtool says against that is what fires. Its answer is
text (2.42 has no other form).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from interlock.core.errors import WorldError
from interlock.gate.drills.monitoring import duration_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_TIMEOUT_S: Final = 120.0
_LONG_S: Final = 4 * 3600  # Beyond this, rules are evaluated once a minute, as Prometheus does by default: a day takes seconds.
_MOMENT: Final = re.compile(r"^\s+alertname: (?P<alert>.+), time: (?P<time>\S+),")
_LABELS: Final = re.compile(r"^\s+Labels:\{(?P<labels>.*)\}\s*$")
_LABEL: Final = re.compile(r'(?P<name>[a-zA-Z_]\w*)=(?P<value>"(?:[^"\\]|\\.)*")')


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert at a moment."""

    at_s: float  # from the beginning of the series
    labels: Mapping[str, str]  # `alertname` among them

    @property
    def alert(self) -> str:
        """Its name."""
        return self.labels["alertname"]


def firings(
    rules: Iterable[Path], alerts: Iterable[str], series: Mapping[str, str], moments_s: Iterable[int], folder: Path
) -> list[Firing]:
    """Every alert that fires at one of the moments, in their order.

    Args:
        rules: The files of rules.
        alerts: The names to ask for.
        series: Each series and its values, one each 15 s.
        moments_s: When to look, from the beginning of the series.
        folder: Where a file of questions may be left.

    Raises:
        WorldError: If there is no promtool, or it cannot read the rules.
    """
    program = shutil.which("promtool")
    if program is None:
        message = "no promtool on this machine (it comes with prometheus), and no drill without it"
        raise WorldError(message)
    moments_s = list(moments_s)
    asked: list[dict[str, object]] = [
        {"eval_time": f"{at_s}s", "alertname": name, "exp_alerts": []} for at_s in moments_s for name in alerts
    ]
    test: dict[str, object] = {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": asked,
    }
    questions = folder / "questions.json"  # JSON is YAML.
    every = "15s" if max(moments_s) < _LONG_S else "1m"
    document: dict[str, object] = {"rule_files": [str(path) for path in rules], "evaluation_interval": every, "tests": [test]}
    questions.write_text(json.dumps(document))
    return _answered(program, questions)


def _answered(program: str, questions: Path) -> list[Firing]:
    try:
        done = subprocess.run(  # noqa: S603 - a program of Prometheus's, and a file of ours.
            [program, "test", "rules", str(questions)], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        message = f"promtool gave no answer within {_TIMEOUT_S:.0f} s"
        raise WorldError(message) from error
    told = done.stdout + done.stderr
    found = sorted(_firings(told.splitlines()), key=lambda firing: firing.at_s)
    if done.returncode and not found:
        message = f"promtool cannot try the rules: {' '.join(told.split())[:500]}"
        raise WorldError(message)
    return found


def _firings(lines: Iterable[str]) -> Iterator[Firing]:
    at_s, is_expected = 0.0, True
    for line in lines:
        if moment := _MOMENT.match(line):
            at_s = duration_s(moment["time"])
        elif line.strip().startswith(("exp:", "got:")):
            is_expected = line.strip().startswith("exp:")
        elif not is_expected and (labels := _LABELS.match(line)):
            yield Firing(at_s, {found["name"]: json.loads(found["value"]) for found in _LABEL.finditer(labels["labels"])})
