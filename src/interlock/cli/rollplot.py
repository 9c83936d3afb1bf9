"""A rollout as a picture: the share in steps, and the evidence against the canary on its way to the line that stops it."""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH: Final = 860
_LEFT: Final = 70
_TOP: Final = 20
_HEIGHT: Final = 170
_GAP: Final = 40
_POINTS_MAX: Final = 800  # More than can be told apart on this width.


def plot(rows: Sequence[dict[str, Any]]) -> str:
    """The picture as SVG; a sentence if nothing was seen."""
    if not rows:
        return "<p>Nothing was seen.</p>"
    shown = [*rows[:: max(1, len(rows) // _POINTS_MAX)], rows[-1]]
    span_s = max(shown[-1]["at_s"] - shown[0]["at_s"], 1e-9)
    across = [_LEFT + (row["at_s"] - shown[0]["at_s"]) / span_s * (_WIDTH - _LEFT - 10) for row in shown]
    needed = shown[-1]["needed"]
    most = max(log10(max(row["evidence"], 1e-2)) for row in shown)
    high, low = max(most, log10(needed)) + 0.3, -2.0
    evidence = [_TOP + _HEIGHT * (high - log10(max(row["evidence"], 1e-2))) / (high - low) for row in shown]
    line_y = _TOP + _HEIGHT * (high - log10(needed)) / (high - low)
    below = _TOP + _HEIGHT + _GAP
    shares = [below + _HEIGHT / 2 * (1 - row["share"]) for row in shown]
    bottom = below + _HEIGHT / 2
    parts = [
        _label(_LEFT - 8, line_y + 4, f"{needed:g}", "end"),
        f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{line_y:.1f}" y2="{line_y:.1f}" stroke="var(--bad)" stroke-dasharray="4 3"/>',
        _label(_LEFT, _TOP - 6, "evidence against the canary (logarithmic); it is stopped at the line", "start"),
        _path(across, evidence, "var(--ink)"),
        _label(_LEFT, below - 6, "share of the users on the canary", "start"),
        _label(_LEFT - 8, below + 4, "100 %", "end"),
        _label(_LEFT - 8, bottom + 4, "0 %", "end"),
        _path(*_stepped(across, shares), "var(--open)"),
        _label(_LEFT, bottom + 18, "0 s", "start"),
        _label(_WIDTH - 10, bottom + 18, f"{span_s:.0f} s", "end"),
    ]
    return f'<svg viewBox="0 0 {_WIDTH} {bottom + 26:.0f}" role="img" style="max-width: {_WIDTH}px">{"".join(parts)}</svg>'


def _stepped(xs: Sequence[float], ys: Sequence[float]) -> tuple[list[float], list[float]]:
    """A share holds until it is changed: corners, and no slopes."""
    across, down = [xs[0]], [ys[0]]
    for x, y in zip(xs[1:], ys[1:], strict=True):
        across += [x, x]
        down += [down[-1], y]
    return across, down


def _path(xs: Sequence[float], ys: Sequence[float], colour: str) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="var(--faint)" font-size="12">{text}</text>'
