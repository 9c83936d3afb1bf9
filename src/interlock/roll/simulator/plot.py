"""Pictures of the results, written as SVG by hand: bars on a logarithmic or a linear scale need no library.

They are plain text that a diff can show, they scale, and their colours are readable on a light and a dark page.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import log10
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLOURS: Final = ("#1f77b4", "#d62728", "#ff9896", "#e6a817", "#7f7f7f")
_WIDTH, _LEFT, _BAR, _GAP, _HEAD = 860, 250, 11, 12, 64


@dataclass(frozen=True, slots=True)
class Bars:
    """Groups of bars: for each group and series a value, or None where there is none."""

    title: str
    unit: str
    series: tuple[str, ...]
    groups: Mapping[str, Sequence[float | None]]
    logarithmic: bool

    def svg(self) -> str:
        """The picture."""
        largest = max((value for values in self.groups.values() for value in values if value is not None), default=1.0)
        marks = self._marks(max(largest, 1.0))
        height = _HEAD + len(self.groups) * (len(self.series) * _BAR + _GAP) + 30
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12">',
            f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
            f'<text x="10" y="20" font-size="15">{escape(self.title)}</text>',
            *self._legend(),
            *(self._mark(mark, marks[-1], height) for mark in marks),
        ]
        for row, (name, values) in enumerate(self.groups.items()):
            parts += self._group(name, values, _HEAD + row * (len(self.series) * _BAR + _GAP), marks[-1])
        return "\n".join([*parts, "</svg>", ""])

    def _marks(self, largest: float) -> list[float]:
        if not self.logarithmic:
            return [0.0, 25.0, 50.0, 75.0, 100.0]
        return [10.0**power for power in range(int(log10(largest)) + 2)]

    def _x(self, value: float, largest: float) -> float:
        part = log10(max(value, 1.0)) / log10(largest) if self.logarithmic else value / largest
        return _LEFT + (_WIDTH - _LEFT - 70) * part

    def _legend(self) -> list[str]:
        step = (_WIDTH - 20) // len(self.series)
        return [
            f'<rect x="{10 + step * index}" y="32" width="10" height="10" fill="{COLOURS[index]}"/>'
            f'<text x="{24 + step * index}" y="41">{escape(name)}</text>'
            for index, name in enumerate(self.series)
        ]

    def _mark(self, mark: float, largest: float, height: int) -> str:
        x = self._x(mark, largest)
        return (
            f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{_HEAD - 8}" y2="{height - 26}" stroke="#dddddd"/>'
            f'<text x="{x:.0f}" y="{height - 10}" text-anchor="middle" fill="#555555">{mark:,.0f}{escape(self.unit)}</text>'
        )

    def _group(self, name: str, values: Sequence[float | None], top: int, largest: float) -> list[str]:
        middle = top + len(values) * _BAR / 2 + 4
        parts = [f'<text x="{_LEFT - 8}" y="{middle:.0f}" text-anchor="end">{escape(name)}</text>']
        for index, value in enumerate(values):
            y = top + index * _BAR
            x = _LEFT if value is None else self._x(value, largest)
            told = "never" if value is None else f"{value:,.1f}" if not self.logarithmic else f"{value:,.0f}"
            parts.append(
                f'<rect x="{_LEFT}" y="{y}" width="{max(1.0, x - _LEFT):.0f}" height="{_BAR - 2}" fill="{COLOURS[index]}"/>'
                f'<text x="{x + 4:.0f}" y="{y + 9}" font-size="10">{told}</text>'
            )
        return parts
