"""The course of a load as a picture: how many calls a second were made, and how long they took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interlock.prove.load.result import Moment

_WIDTH: Final = 860
_LEFT: Final = 70
_TOP: Final = 20
_HEIGHT: Final = 110
_GAP: Final = 40


def plot(moments: Sequence[Moment]) -> str:
    """The picture as SVG: the rate above, and below it the latency that half and all but one in a hundred do not exceed."""
    span_s = max(moments[-1].at_s - moments[0].at_s, 1e-9)
    across = [_LEFT + (one.at_s - moments[0].at_s) / span_s * (_WIDTH - _LEFT - 10) for one in moments]
    below = _TOP + _HEIGHT + _GAP
    bottom = below + _HEIGHT
    parts = _panel(_TOP, "calls a second", across, [([one.rate for one in moments], "var(--ink)")])
    latencies = [([one.p50_ms for one in moments], "var(--good)"), ([one.p99_ms for one in moments], "var(--open)")]
    parts += _panel(below, "latency in ms: p50 and, above it, p99", across, latencies)
    parts += [
        _label(_LEFT, bottom + 18, f"{moments[0].at_s:,.1f} s", "start"),
        _label(_WIDTH - 10, bottom + 18, f"{moments[-1].at_s:,.1f} s", "end"),
    ]
    return f'<svg viewBox="0 0 {_WIDTH} {bottom + 26}" role="img" style="max-width: {_WIDTH}px">{"".join(parts)}</svg>'


def _panel(top: float, title: str, across: list[float], lines: list[tuple[list[float], str]]) -> list[str]:
    """Lines on one scale, that begins at zero."""
    most = max(max(values) for values, _ in lines) or 1.0
    parts = [_label(_LEFT, top - 6, title, "start"), _label(_LEFT - 8, top + 8, f"{most:,.0f}", "end")]
    parts.append(_label(_LEFT - 8, top + _HEIGHT, "0", "end"))
    for values, colour in lines:
        points = " ".join(f"{x:.1f},{top + _HEIGHT * (1 - value / most):.1f}" for x, value in zip(across, values, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return parts


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="var(--faint)" font-size="12">{text}</text>'
