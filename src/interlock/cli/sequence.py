"""A history as a picture: who asked whom for what, in which order, and where a fault struck.

One column for each worker and for each thing that they share, time downwards, an arrow for each effect. Plain SVG: it needs no
script, can be searched, and follows the reader's light or dark colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MARGIN: Final = 90  # Of the left side, where the time stands.
_COLUMN: Final = 230
_ROW: Final = 46
_HEAD: Final = 46
_LONGEST: Final = 58  # Characters of a label; all of it is shown when the pointer rests on it.


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """One effect, as it is drawn.

    Attributes:
        at_s: When, in virtual time.
        worker: Who did it.
        place: What it was done to; the worker itself if it waited.
        said: What was asked.
        answer: What came back; nothing if nothing did.
        fault: What struck it, if anything did.
        is_last: Whether the worker ends with it.
    """

    at_s: float
    worker: str
    place: str
    said: str
    answer: str = ""
    fault: str = ""
    is_last: bool = False


def sequence_diagram(arrows: Sequence[Arrow]) -> str:
    """The picture, as an `<svg>` element."""
    columns = [*dict.fromkeys(arrow.worker for arrow in arrows), *dict.fromkeys(arrow.place for arrow in arrows)]
    across = {name: _MARGIN + _COLUMN // 2 + _COLUMN * number for number, name in enumerate(dict.fromkeys(columns))}
    width, height = _MARGIN + _COLUMN * len(across), _HEAD + _ROW * (len(arrows) + 1)
    drawn = [
        *_columns(across, arrows, height),
        *(line for row, arrow in enumerate(arrows) for line in _arrow(row, arrow, across)),
    ]
    return (
        f'<svg class="sequence" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="the order of events">{_TIPS}{"".join(drawn)}</svg>'
    )


def _columns(across: dict[str, int], arrows: Sequence[Arrow], height: int) -> Iterator[str]:
    """A name and a line down for each; a worker that was killed has a line that ends there."""
    ends = {arrow.worker: _down(row) for row, arrow in enumerate(arrows) if arrow.is_last}
    for name, x in across.items():
        yield f'<text class="who" x="{x}" y="22">{escape(name)}</text>'
        yield f'<line class="life" x1="{x}" y1="{_HEAD - 14}" x2="{x}" y2="{ends.get(name, height)}"/>'


def _arrow(row: int, arrow: Arrow, across: dict[str, int]) -> Iterator[str]:
    y, start, end = _down(row), across[arrow.worker], across[arrow.place]
    yield f'<text class="time" x="{_MARGIN - 12}" y="{y + 4}">{arrow.at_s:.1f} s</text>'
    if start == end:
        yield f'<text class="said" x="{start + 8}" y="{y + 4}">{_label(arrow.said)}</text>'
        yield f'<circle class="wait" cx="{start}" cy="{y}" r="4"/>'
        return
    struck = " struck" if arrow.fault else ""
    yield f'<line class="ask{struck}" x1="{start}" y1="{y}" x2="{end}" y2="{y}" marker-end="url(#tip)"/>'
    middle = (start + end) // 2
    yield f'<text class="said" x="{middle}" y="{y - 6}" text-anchor="middle">{_label(arrow.said)}</text>'
    answer = f"→ {arrow.answer}" if arrow.answer else ""
    told = " · ".join(part for part in (answer, f"✕ {arrow.fault}" if arrow.fault else "") if part)
    yield f'<text class="answer{struck}" x="{middle}" y="{y + 15}" text-anchor="middle">{_label(told)}</text>'
    if arrow.is_last:
        yield f'<path class="end" d="M{start - 7},{y - 7}l14,14m0,-14l-14,14"/>'


def _down(row: int) -> int:
    return _HEAD + _ROW * row + _ROW // 2


def _label(text: str) -> str:
    shown = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    title = f"<title>{escape(text)}</title>" if shown != text else ""
    return f"{title}{escape(shown)}"


_TIPS: Final = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0,0L8,4L0,8z" fill="context-stroke"/></marker></defs>'
)

STYLE: Final = """
.sequence text { font: 12px ui-monospace, monospace; fill: var(--ink); }
.sequence text { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
.sequence .who { font: 600 14px system-ui, sans-serif; text-anchor: middle; }
.sequence .time { text-anchor: end; fill: var(--faint); }
.sequence .life { stroke: var(--faint); stroke-dasharray: 3 4; }
.sequence .ask { stroke: var(--ink); stroke-width: 1.4; }
.sequence .answer { fill: var(--faint); }
.sequence .wait { fill: var(--faint); }
.sequence .ask.struck, .sequence .end { stroke: var(--bad); stroke-width: 2.4; fill: none; }
.sequence .answer.struck { fill: var(--bad); font-weight: 600; }
"""
