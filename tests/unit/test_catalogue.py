"""One meta-test holds every hazard to the same promises; a hazard has no test code of its own."""

from __future__ import annotations

import re
from textwrap import dedent

import pytest

from interlock.check.inspect import inspect
from interlock.hazards.catalogue import catalogue, listings
from interlock.hazards.hazard import HEADINGS, Hazard
from interlock.source.module import Module

EXPECT = re.compile(r"# expect: (\S+)")
EXPECT_LATER = re.compile(r"# expect-later: (\S+)")

every_hazard = pytest.mark.parametrize("hazard", catalogue(), ids=lambda hazard: hazard.name)


def expected(example: str, mark: re.Pattern[str] = EXPECT) -> list[tuple[int, str]]:
    """The findings that an example promises, as (line, hazard)."""
    lines = enumerate(example.splitlines(), start=1)
    return [(number, name) for number, line in lines for name in mark.findall(line)]


def found(example: str, hazard: Hazard) -> list[tuple[int, str]]:
    """The findings of one hazard in an example, through the whole of `check`: prefilter, walk, suppressions."""
    seen = inspect("shop/example.py", example.encode(), [hazard])
    assert not seen.problems, "\n".join(map(str, seen.problems))
    return sorted((finding.location.line, finding.hazard) for finding in seen.findings)


@every_hazard
def test_examples_hold_exactly_what_they_say(hazard: Hazard) -> None:
    for example in (*hazard.bad, *hazard.good):
        promised = [(line, name) for line, name in expected(example) if name == hazard.name]
        assert found(example, hazard) == promised, example


@every_hazard
def test_bad_examples_are_bad_and_half_of_all_examples_are_good(hazard: Hazard) -> None:
    assert all(expected(example) or expected(example, EXPECT_LATER) for example in hazard.bad)
    assert not any(expected(example) for example in hazard.good)
    promised = sum(len(expected(example)) for example in hazard.bad)
    assert promised >= 2
    assert len(hazard.good) >= len([example for example in hazard.bad if expected(example)])


@every_hazard
def test_known_misses_are_still_missed(hazard: Hazard) -> None:
    """A miss that is found by now is no longer a known miss: its mark becomes `expect`."""
    for example in hazard.bad:
        for later in expected(example, EXPECT_LATER):
            assert later not in found(example, hazard)


@every_hazard
def test_what_it_injects_it_detects(hazard: Hazard) -> None:
    planted = 0
    for example in hazard.good:
        for injector in hazard.injectors:
            for mutant in injector(Module("shop/example.py", example)):
                planted += 1
                assert mutant.text != example
                assert found(mutant.text, hazard), f"{mutant.what} planted nothing that the detector sees:\n{mutant.text}"
    assert planted, "the injector plants nothing in any good example"


@every_hazard
def test_the_story_is_whole(hazard: Hazard) -> None:
    story = hazard.story
    assert tuple(story.sections) == HEADINGS
    assert all(story.sections.values())
    assert story.failure.endswith(".")
    assert len(story.failure) <= 120


@every_hazard
def test_name_and_figures_are_valid(hazard: Hazard) -> None:
    assert re.fullmatch(r"[a-z]+/[a-z]+(-[a-z]+)*", hazard.name)
    assert all(source.startswith("https://") for source in hazard.sources)
    assert hazard.sources
    assert hazard.advice
    assert hazard.signal
    assert hazard.scenario


@every_hazard
def test_needles_read_from_the_text_are_those_of_the_hazard(hazard: Hazard) -> None:
    listed = {listing.name: listing.needles for listing in listings()}
    assert listed[hazard.name] == hazard.needles
    assert hazard.needles


@every_hazard
def test_a_file_without_its_needles_is_not_walked(hazard: Hazard) -> None:
    assert not hazard.concerns(dedent("x = 1\n").encode())


def test_names_are_unique() -> None:
    names = [hazard.name for hazard in catalogue()]
    assert len(names) == len(set(names))
    assert names == sorted(names)
