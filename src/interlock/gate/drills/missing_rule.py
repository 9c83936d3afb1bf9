"""A rule that would have fired, made of what the drill's series show. Whoever writes it out has replayed it first."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from interlock.gate.drills.incident import Incident
    from interlock.gate.drills.series import Series

_SLOW_PER_S: Final = 0.1  # Below this a window of minutes holds too few events to tell a drop from chance.


def rules(feature: str, happened: Incident, series: Sequence[Series], labels: Sequence[str]) -> Iterator[str]:
    """The rules that the series allow, the most telling first, each as a file of its own.

    Args:
        feature: Whose failure it is about.
        happened: What is to set it off.
        series: What there is to see it by.
        labels: What the rule carries, `name=value` each.
    """
    carried = "".join(
        f"          {name}: {json.dumps(value)}\n" for name, _, value in (label.partition("=") for label in labels)
    )
    for name, expression, lasting in _expressions(happened, series):
        alert = "".join(word.capitalize() for word in re.split(r"\W+", f"{feature} {name}"))
        yield _FILE.format(
            feature=feature, alert=alert, expression=expression, lasting=lasting, labels=carried, summary=f"{feature}: {name}"
        )


def _expressions(happened: Incident, series: Sequence[Series]) -> Iterator[tuple[str, str, str]]:
    shown = {one.of: one.series for one in reversed(series)}
    usual = happened.course[0].success
    worst = min(point.success for point in happened.course)
    limit = round(usual - max((usual - worst) / 4, 0.01), 3)  # Nearer to the usual: it is to be seen on its way down.
    if "good" in shown and happened.per_s < _SLOW_PER_S:
        good = shown["good"]
        yield "none succeed", f"sum(increase({good}[1h])) < 0.5 * sum(increase({good}[1h] offset 1d))", "5m"
    good_share = _share(shown)
    if good_share:
        yield "few succeed", f"{good_share} < {limit:g}", "1m"
    if "success" in shown:
        yield "few succeed", f"{shown['success']} < {limit:g}", "1m"
    if "good" in shown:
        good = shown["good"]
        yield "fewer succeed than a day ago", f"sum(rate({good}[5m])) < 0.85 * sum(rate({good}[5m] offset 1d))", "5m"
    if "harm" in shown:  # `increase` does not see the first event of a series that is born with it.
        harm = shown["harm"]
        yield "harm is done", f"sum({harm}) - (sum({harm} offset 10m) or vector(0)) > 0", "0m"


def _share(shown: dict[str, str]) -> str:
    """The part that succeeds, of whatever pair of counters there is."""
    rates = {of: f"sum(rate({name}[2m]))" for of, name in shown.items()}
    match shown:
        case {"good": _, "all": _}:
            return f"{rates['good']} / {rates['all']}"
        case {"good": _, "bad": _}:
            return f"{rates['good']} / ({rates['good']} + {rates['bad']})"
        case {"bad": _, "all": _}:
            return f"1 - {rates['bad']} / {rates['all']}"
        case _:
            return ""


_FILE: Final = """groups:
  - name: {feature}
    rules:
      - alert: {alert}
        expr: {expression}
        for: {lasting}
        labels:
{labels}        annotations:
          summary: "{summary}"
"""
