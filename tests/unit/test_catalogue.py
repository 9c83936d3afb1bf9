"""One meta-test holds every hazard to the same promises; a hazard has no test code of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from interlock.check.promises import broken_promises
from interlock.hazards.catalogue import catalogue, listings

if TYPE_CHECKING:
    from interlock.hazards.hazard import Hazard

every_hazard = pytest.mark.parametrize("hazard", catalogue(), ids=lambda hazard: hazard.name)


@every_hazard
def test_it_keeps_what_every_hazard_promises(hazard: Hazard) -> None:
    """Its examples hold exactly what they say, what it injects it detects, its story is whole: see promises.py."""
    assert list(broken_promises(hazard)) == []


@every_hazard
def test_its_sources_can_be_opened_by_everybody(hazard: Hazard) -> None:
    assert all(source.startswith("https://") for source in hazard.sources)


@every_hazard
def test_needles_read_from_the_text_are_those_of_the_hazard(hazard: Hazard) -> None:
    listed = {listing.name: listing.needles for listing in listings()}
    assert listed[hazard.name] == hazard.needles


def test_every_hazard_has_examples_and_an_injector() -> None:
    """An empty list of examples would keep any promise about each of them."""
    assert len(catalogue()) >= 12
    assert all(len(hazard.bad) >= 1 and len(hazard.good) >= 1 and hazard.injectors for hazard in catalogue())


def test_names_are_unique() -> None:
    names = [hazard.name for hazard in catalogue()]
    assert len(names) == len(set(names))
    assert names == sorted(names)
    assert all(re.fullmatch(r"[a-z]+/[a-z-]+", name) for name in names)
