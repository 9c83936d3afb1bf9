"""The pictures of the gate's page: they are whole, and none makes a bad thing look good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from interlock.cli.decisions.pictures import ages, course, stages
from interlock.gate.records.ground import Ground
from interlock.gate.records.signers import Trust

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


def drawn(svg: str) -> ET.Element:
    """The picture as a reader sees it; one that is not whole is none."""
    return ET.fromstring(svg.replace("<svg ", f'<svg xmlns="{SVG[1:-1]}" ', 1))  # noqa: S314 - our own.


def bars(picture: ET.Element, style: str) -> list[float]:
    """How long the bars of a style are."""
    return [float(one.attrib["width"]) for one in picture.iter(f"{SVG}rect") if one.attrib["class"] == style]


def texts(picture: ET.Element, style: str) -> list[str]:
    return [one.text or "" for one in picture.iter(f"{SVG}text") if one.attrib["class"] == style]


def uprights(picture: ET.Element, style: str) -> list[float]:
    """Where the lines of a style stand."""
    return [float(one.attrib["x1"]) for one in picture.iter(f"{SVG}line") if one.attrib["class"] == style]


def ground(what: str, age_days: int, left_days: int) -> Ground:
    made_at, expires_at = NOW - timedelta(days=age_days), NOW + timedelta(days=left_days)
    return Ground(what=what, trust=Trust.CI, by="ci", made_at=made_at, expires_at=expires_at)


class TestAges:
    def test_what_is_half_used_up_is_half_full(self) -> None:
        picture = drawn(ages([ground("rehearsal", 15, 15)], NOW))
        (whole,), (used,) = bars(picture, "rest"), bars(picture, "good")
        assert used == pytest.approx(whole / 2, abs=0.1)
        assert uprights(picture, "now") == [pytest.approx(300, abs=0.1)]

    def test_what_has_expired_is_bad_and_ends_before_now(self) -> None:
        picture = drawn(ages([ground("rehearsal", 40, -10)], NOW))
        assert bars(picture, "good") == []
        assert bars(picture, "bad") == bars(picture, "rest")
        assert uprights(picture, "now")[0] > bars(picture, "bad")[0]

    def test_what_is_recomputed_has_no_age(self) -> None:
        assert ages([Ground.recomputed("check", NOW)], NOW) == ""

    def test_names_are_words(self) -> None:
        assert texts(drawn(ages([ground("<b>&", 1, 1)], NOW)), "strong") == ["<b>& (ci, ci)"]


def release(*steps: tuple[float | None, float | None, Any]) -> dict[str, Any]:
    told = [{"least": least, "most": most, "stays_s": stays_s} for least, most, stays_s in steps]
    return {"name": "Rollout shop", "stages": told}


class TestStages:
    def test_a_first_step_beyond_the_limit_is_bad(self) -> None:
        picture = drawn(stages(release((0.2, 0.25, 1800), (1.0, 1.0, 0.0)), 0.05))
        assert len(bars(picture, "bad")) == 1
        assert texts(picture, "strong") == ["step 1: 20.0% to 25.0% of the users, for 30 min", "step 2: 100.0% of the users"]

    def test_one_that_may_be_beyond_it_is_bad_as_well(self) -> None:
        assert bars(drawn(stages(release((0.04, 0.06, 1800)), 0.05)), "good") == []

    def test_one_within_it_is_good(self) -> None:
        assert bars(drawn(stages(release((0.01, 0.01, 1800)), 0.05)), "bad") == []

    def test_what_is_not_known_has_no_bar(self) -> None:
        picture = drawn(stages(release((None, None, None)), 0.05))
        assert bars(picture, "good") == bars(picture, "bad") == []
        assert texts(picture, "strong") == ["step 1: of how many users is not known, for how long is not known"]


def drill(*fired: tuple[str, float, float | None]) -> dict[str, Any]:
    told = [{"alert": name, "after_s": after_s, "pages_after_s": pages_s} for name, after_s, pages_s in fired]
    points = [{"at_s": 0.0, "success": 1.0}, {"at_s": 60.0, "success": 0.4}, {"at_s": 7200.0, "success": 0.4}]
    return {"feature": "payments", "answer": "", "within_s": 600.0, "course": points, "fired": told}


class TestCourse:
    def test_who_is_woken_in_time_is_left_of_the_limit(self) -> None:
        picture = drawn(course(drill(("HighErrorRate", 240.0, 270.0))))
        (fires,), (pages,), (limit,) = (uprights(picture, style) for style in ("fires", "page", "limit"))
        assert fires < pages < limit
        assert texts(picture, "good") == ["HighErrorRate fires after 4 min, wakes somebody after 4 min 30 s"]

    def test_who_is_woken_too_late_is_right_of_it(self) -> None:
        picture = drawn(course(drill(("Slow", 1200.0, 1230.0))))
        assert uprights(picture, "page")[0] > uprights(picture, "limit")[0]

    def test_an_alert_that_wakes_nobody_looks_bad(self) -> None:
        picture = drawn(course(drill(("Chat", 60.0, None))))
        assert uprights(picture, "page") == []
        assert texts(picture, "bad") == ["Chat fires after 1 min, wakes nobody"]

    def test_a_drill_that_was_not_run_is_not_drawn(self) -> None:
        assert course({**drill(), "course": []}) == ""

    def test_all_of_it_stays_in_the_picture(self) -> None:
        picture = drawn(course(drill()))
        (line,) = picture.iter(f"{SVG}polyline")
        across = [float(point.partition(",")[0]) for point in line.attrib["points"].split()]
        assert across == sorted(across)
        assert across[-1] <= 600
