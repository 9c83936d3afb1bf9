"""What can be seen better than read: how old evidence is, whom a canary reaches, when somebody hears of a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from interlock.cli.decisions.drawing import WIDTH, bar, label, svg, upright
from interlock.gate.drills.drill import in_minutes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from interlock.gate.records.ground import Ground

_ROW: Final = 40
_FOOT: Final = 22
_MOST_STAGES: Final = 12
_PLOT: Final = 150  # The height of a course.
_LEFT: Final = 46


def ages(grounds: Sequence[Ground], now: datetime) -> str:
    """What is on record, a row each: from when it was made until it expires, with the present. Nothing if there is none."""
    dated = [(ground, ground.made_at, ground.expires_at) for ground in grounds if ground.made_at and ground.expires_at]
    if not dated:
        return ""
    first, last = min(made for _, made, _ in dated), max(now, *(expires for _, _, expires in dated))
    whole_s = max((last - first).total_seconds(), 1.0)
    height = len(dated) * _ROW + _FOOT

    def across(moment: datetime) -> float:
        return (moment - first).total_seconds() / whole_s * (WIDTH - 4) + 2

    def drawn() -> Iterator[str]:
        yield upright(across(now), 0, height - _FOOT, "now")
        for row, (ground, made, expires) in enumerate(dated):
            top = row * _ROW
            yield label(2, top + 14, f"{ground.what} ({ground.trust}, {ground.by})", style="strong")
            yield bar(across(made), top + 20, across(expires) - across(made), 10, "rest")
            yield bar(across(made), top + 20, across(min(now, expires)) - across(made), 10, "good" if now < expires else "bad")
        yield label(across(now), height - 6, "now", anchor=_anchor(across(now)))

    return svg(height, "the age of the evidence, and until when it counts", drawn())


def _anchor(x: float) -> str:
    """Where a text hangs on its point so that it stays on the page."""
    return "start" if x < WIDTH * 0.15 else "end" if x > WIDTH * 0.85 else "middle"


def stages(release: Mapping[str, Any], limit: float) -> str:
    """The steps of a release: how many of the users each really reaches, from the fewest to the most that it can be."""
    shown: list[Mapping[str, Any]] = release["stages"][:_MOST_STAGES]
    height = len(shown) * _ROW + _FOOT

    def drawn() -> Iterator[str]:
        for row, stage in enumerate(shown):
            top, least, most = row * _ROW, stage["least"], stage["most"]
            yield label(2, top + 14, f"step {row + 1}: {_reaching(least, most)}{_staying(stage['stays_s'])}", style="strong")
            yield bar(2, top + 20, WIDTH - 4, 10, "rest")
            if most is not None:
                yield bar(2, top + 20, most * (WIDTH - 4), 10, "maybe")
                yield bar(2, top + 20, least * (WIDTH - 4), 10, "bad" if row == 0 and most > limit else "good")
        yield upright(2 + limit * (WIDTH - 4), 17, 33, "most")
        yield label(2, height - 6, f"the first step may reach {limit * 100:.3g} % of the users: the upright line")

    return svg(height, f"{release['name']}: the share of the users that each step reaches", drawn())


def _reaching(least: float | None, most: float | None) -> str:
    if least is None or most is None:
        return "of how many users is not known"
    return f"{least:.1%} of the users" if least == most else f"{least:.1%} to {most:.1%} of the users"


def _staying(stays_s: float | str | None) -> str:
    if stays_s is None:
        return ", for how long is not known"
    if isinstance(stays_s, str):
        return f", {stays_s}"
    return f", for {in_minutes(stays_s)}" if stays_s else ""


def course(drill: Mapping[str, Any]) -> str:
    """A replayed failure: how much succeeds, when alerts fire and wake somebody, and by when they had to.

    Nothing if none was replayed.
    """
    points: list[Mapping[str, float]] = drill["course"]
    if not points:
        return ""
    within_s = float(drill["within_s"])
    moments = [float(fired["pages_after_s"] or fired["after_s"]) for fired in drill["fired"]]
    until_s = max(within_s * 1.5, *(moment * 1.1 for moment in moments), 60.0)
    bottom = 10 + _PLOT

    def across(at_s: float) -> float:
        return _LEFT + min(at_s / until_s, 1.0) * (WIDTH - _LEFT - 4)

    def drawn() -> Iterator[str]:
        yield from (label(_LEFT - 6, 14 + _PLOT * (1 - share), f"{share:.0%}", anchor="end") for share in (0.0, 0.5, 1.0))
        shown = " ".join(f"{across(at_s):.1f},{10 + _PLOT * (1 - success):.1f}" for at_s, success in _clipped(points, until_s))
        yield f'<polyline points="{shown}"/>'
        yield upright(across(within_s), 10, bottom, "limit")
        yield label(across(within_s), bottom + 16, f"by {in_minutes(within_s)}", anchor="middle")
        for row, fired in enumerate(drill["fired"]):
            yield from _rung(fired, across, row, bottom)

    return svg(bottom + 26 + 18 * len(drill["fired"]), f"{drill['feature']}: success, and when somebody hears of it", drawn())


def _rung(fired: Mapping[str, Any], across: Callable[[float], float], row: int, bottom: float) -> Iterator[str]:
    """One alert: the moments at which it fires and wakes somebody, and a line that says so."""
    pages_s = fired["pages_after_s"]
    yield upright(across(fired["after_s"]), 10, bottom, "fires")
    if pages_s is not None:
        yield upright(across(pages_s), 10, bottom, "page")
    told = f"wakes somebody after {in_minutes(pages_s)}" if pages_s is not None else "wakes nobody"
    style = "good" if pages_s is not None else "bad"
    yield label(
        _LEFT, bottom + 34 + 18 * row, f"{fired['alert']} fires after {in_minutes(fired['after_s'])}, {told}", style=style
    )


def _clipped(points: Sequence[Mapping[str, float]], until_s: float) -> Iterator[tuple[float, float]]:
    """The course until a moment; the piece that goes beyond it is cut there."""
    before = points[0]
    for point in points:
        if point["at_s"] > until_s:
            part = (until_s - before["at_s"]) / (point["at_s"] - before["at_s"])
            yield until_s, before["success"] + part * (point["success"] - before["success"])
            return
        yield point["at_s"], point["success"]
        before = point
    yield until_s, before["success"]
