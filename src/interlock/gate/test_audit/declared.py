"""The tests that must exist, written down by people: an assistant tests what it built, not the assumptions it got wrong.

[tests]
command = ["python", "-m", "pytest"]     # gets the ids behind it
within_s = 300
coverage_min = 0.85

[[must_test]]
id = "tests/test_queue.py::test_two_payments_in_one_second_are_two"
guards = "two payments of one user in one second are two"
feature = "payments"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from interlock.core.settings import strict, tables

if TYPE_CHECKING:
    from interlock.core.settings import Document


@dataclass(frozen=True, slots=True)
class TestSettings:
    """How tests are run."""

    __test__ = False  # For pytest: it is no test itself.

    command: tuple[str, ...] = (
        "python",
        "-m",
        "pytest",
    )  # Not `-q`: with a second one in `addopts` it counts nothing any more.
    within_s: float = 300.0
    coverage_min: float = 0.85

    @classmethod
    def of(cls, document: Document) -> Self:
        """What the settings say. Raises UsageError if they are not right."""
        settings = strict(document, cls, document.tables.get("tests", {}), "tests")
        if not settings.command:
            raise document.fail("command", "command in tests is empty; expected what runs a test, such as ['pytest']")
        return settings


@dataclass(frozen=True, slots=True)
class MustTest:
    """A test that must exist."""

    id: str  # as pytest names it
    guards: str  # the behaviour, in words
    feature: str

    @property
    def path(self) -> str:
        """The file that it is in."""
        return self.id.partition("::")[0]

    @classmethod
    def all_of(cls, document: Document) -> tuple[Self, ...]:
        """The list of a project. Raises UsageError if an entry is not right."""
        musts = tuple(strict(document, cls, table, "must_test") for table in tables(document, "must_test"))
        for must in musts:
            if "::" not in must.id or not must.guards.strip():
                message = f"must_test {must.id!r} needs an id such as tests/test_x.py::test_y, and what it guards"
                raise document.fail("id", message)
        return musts
