"""The few strokes that the pictures of a decision are made of: plain SVG, in the colours of the page."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDTH: Final = 600


def svg(height: float, label: str, parts: Iterable[str]) -> str:
    """A picture of the usual width, which says in words what it shows."""
    return (
        f'<svg class="drawn" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def label(x: float, y: float, text: str, *, anchor: str = "start", style: str = "faint") -> str:
    """A text. Whoever chose its words does not write our page."""
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def bar(x: float, y: float, width: float, height: float, style: str) -> str:
    """A bar that can be seen, however little it stands for."""
    return f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 2):.1f}" height="{height:.1f}" rx="2"/>'


def upright(x: float, top: float, bottom: float, style: str) -> str:
    """A line from top to bottom, which marks a moment or a limit."""
    return f'<line class="{style}" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>'


STYLE: Final = """
.drawn { width: 100%; min-width: 30rem; max-width: 45rem; }
.drawn text { font: 12px system-ui, sans-serif; fill: var(--ink); }
.drawn text { paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }
.drawn text.faint { fill: var(--faint); } .drawn text.bad { fill: var(--bad); } .drawn text.good { fill: var(--good); }
.drawn text.strong { font-weight: 600; }
.drawn rect.good { fill: var(--good); } .drawn rect.bad { fill: var(--bad); } .drawn rect.rest { fill: var(--rule); }
.drawn rect.maybe { fill: var(--open); opacity: .55; }
.drawn line { stroke: var(--ink); } .drawn line.most { stroke-width: 2; }
.drawn line.limit { stroke: var(--bad); stroke-dasharray: 4 3; }
.drawn line.page { stroke: var(--good); stroke-width: 2; } .drawn line.fires { stroke: var(--open); stroke-width: 2; }
.drawn polyline { fill: none; stroke: var(--ink); stroke-width: 1.6; }
"""
