"""A team's own hazards are found, run from memory, and held to what every hazard promises."""

from __future__ import annotations

import pickle
import tomllib

import pytest

from interlock.check.inspect import Inspection, inspect
from interlock.check.promises import broken_promises
from interlock.core.errors import UsageError
from interlock.core.settings import Document
from interlock.hazards.catalogue import listings, named
from interlock.hazards.own import BrokenHazardError, OwnHazards
from tests.own_hazard import CALLS, FILES, FLOAT_REFUND, NAME, PATH, SETTINGS


def own(files: dict[str, str] = FILES, settings: str = SETTINGS) -> OwnHazards:
    """The hazards that lie in these files."""
    document = Document("interlock.toml", settings, tomllib.loads(settings))
    found = OwnHazards.of(
        document, lambda folder: {path: text.encode() for path, text in files.items() if path.startswith(f"{folder}/")}
    )
    assert found is not None
    return found


def of(text: str) -> OwnHazards:
    """The one hazard, with another text."""
    return own({**FILES, PATH: text})


def seen(hazards: OwnHazards, text: str) -> Inspection:
    return inspect("shop/refunds.py", text.encode(), listings(hazards))


def broken(text: str) -> list[str]:
    """What a hazard of this text does not keep."""
    return list(broken_promises(of(text).load("payments.float_refund"), text))


def test_it_is_one_of_the_hazards_and_finds_what_it_is_about() -> None:
    assert NAME in [listing.name for listing in listings(own())]
    assert len(listings(own())) == len(listings()) + 1
    (finding,) = seen(own(), "bank.refund(0.5)\n").findings
    assert (finding.hazard, finding.location.line) == (NAME, 1)
    assert named("float-refund", listings(own())).story.failure.startswith("A refund that is a float")


def test_no_declaration_means_none() -> None:
    assert OwnHazards.of(Document("interlock.toml", "", {}), lambda _: {}) is None


def test_it_can_be_suppressed_by_its_name() -> None:
    inspection = seen(own(), f"bank.refund(0.5)  # interlock: ignore[{NAME}]: agreed with finance\n")
    assert (len(inspection.findings), len(inspection.suppressed), inspection.problems) == (0, 1, [])


def test_two_versions_of_it_live_side_by_side() -> None:
    before, after = own(), of(FLOAT_REFUND.replace('a float"', 'no whole number"'))
    assert "a float" in seen(before, "bank.refund(0.5)\n").findings[0].message
    assert "no whole number" in seen(after, "bank.refund(0.5)\n").findings[0].message
    assert "a float" in seen(before, "bank.refund(0.5)\n").findings[0].message


def test_what_its_family_shares_belongs_to_the_version() -> None:
    renamed = own({**FILES, "hazards/payments/_calls.py": CALLS.replace('"refund"', '"refund_all"')})
    assert not seen(renamed, "bank.refund(0.5)\n").findings
    assert seen(own(), "bank.refund(0.5)\n").findings


def test_it_goes_to_another_process_as_its_text() -> None:
    listing = next(listing for listing in listings(own()) if listing.name == NAME)
    assert pickle.loads(pickle.dumps(listing)).load().name == NAME  # noqa: S301 - our own.


def test_it_keeps_what_a_hazard_promises() -> None:
    assert broken(FLOAT_REFUND) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  # expect: payments/float-refund\n    return", "\n    return", "BAD[0], line 3: is found, and not expected"),
        ("bank.refund(1.5)", "bank.refund(15)", "BAD[0], line 4: nothing is found, and it is expected: return bank.refund(15)"),
        ("bank.refund(cents)", "bank.refund(0.1)", "GOOD[0], line 3: is found, and not expected"),
        ("bank.refund(cents)", "bank.refund(0.1)  # expect: payments/float-refund", "GOOD[0] marks a line"),
        ("bank.refund(cents)", "bank.refund(", "GOOD[0]: cannot be parsed"),
        ("bank.refund(cents)", "bank.refund(0.5)  # expect-later: payments/float-refund", "is found by now"),
        ("bank.refund(cents)", "bank.refund()", "its injector plants nothing in any good example"),
        ('value, "0.1"', 'value, "1"', "what its injector plants in GOOD[0], line 3 is not found"),
        ('edited(module, [replacing(module, value, "0.1")])', "module.text", "its injector changes nothing in GOOD[0]"),
        ('edited(module, [replacing(module, value, "0.1")])', "1 / 0", "its injector failed on GOOD[0]: ZeroDivisionError"),
        (
            'f"refunds {value.value}, a float"',
            "1 / 0",
            "BAD[0]: the detector of payments/float-refund failed: ZeroDivisionError",
        ),
        ("## Why tests miss it\n", "", "its docstring has the headings"),
        ("They refund whole amounts.\n", "", "its docstring says nothing under Why tests miss it"),
        ("where it went.\n", "where it went\n", "its docstring should begin with the failure"),
        ('needles=((b"refund",),)', "needles=()", "it has no needles"),
        ('needles=((b"refund",),)', 'needles=((b"x",),)', "its needles are in every file"),
        ('needles=((b"refund",),)', "needles=((str('refund').encode(),),)", "cannot be read without importing it"),
        ('advice="refund whole cents: refund(amount_minor=...)"', 'advice=" "', "its advice is empty"),
        ('scenario="a third of an amount is refunded"', 'scenario=""', "its scenario is empty"),
        ('sources=("incidents/refund.toml",)', "sources=()", "it names no sources"),
        ("BAD = (", "NOT_BAD = (", "BAD should be a tuple of texts"),
        ("\nGOOD = (", "\nGOOD = ()\nX = (", "there are 1 bad examples and 0 good ones"),
    ],
)
def test_each_promise_can_be_broken(old: str, new: str, expected: str) -> None:
    assert FLOAT_REFUND.count(old) >= 1
    told = broken(FLOAT_REFUND.replace(old, new))
    assert any(expected in line for line in told), told


def test_a_name_with_figures_is_told() -> None:
    text = FLOAT_REFUND.replace(NAME, "payments/refund-2")
    hazards = own({"hazards/payments/refund_2.py": text, "hazards/payments/_calls.py": CALLS})
    assert "it is called payments/refund-2" in next(broken_promises(hazards.load("payments.refund_2")))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("HAZARD = Hazard(", "HAZARD = Hazard((", f"{PATH}:26: cannot be parsed: '(' was never closed"),
        ("import ast\n", "import asst\n", f"{PATH}:18: cannot be imported: ModuleNotFoundError: No module named 'asst'"),
        ("import refunds", "import refund", f"{PATH}:24: cannot be imported: ImportError"),
        ("severity=Severity.HIGH,\n", "", f"{PATH}:26: cannot be imported: TypeError"),
        (
            "from ._calls",
            "from ._call",
            f"{PATH}:24: cannot be imported: ModuleNotFoundError: No module named 'payments._call'",
        ),
        ("__name__,", "'payments.refund',", f"{PATH}: its HAZARD is made with 'payments.refund'; expected Hazard(__name__"),
        ("HAZARD", "RISK", f"{PATH}: has no HAZARD; expected HAZARD = Hazard(__name__, ...)"),
    ],
)
def test_a_broken_file_says_what_and_where(old: str, new: str, expected: str) -> None:
    text = FLOAT_REFUND.replace(old, new)
    with pytest.raises(BrokenHazardError) as error:
        of(text).load("payments.float_refund")
    assert str(error.value).startswith(expected)


def test_a_broken_file_hides_nothing_and_is_unknown() -> None:
    inspection = seen(of("import asst\n# refund"), "import time\norder_id = int(time.time())\nbank.refund(0.5)\n")
    assert [finding.hazard for finding in inspection.findings] == ["identity/coarse-clock"]
    (problem,) = inspection.problems
    assert (problem.path, problem.line, problem.is_ours) == (PATH, 1, False)


@pytest.mark.parametrize("text", ["raise SystemExit(0)\n", FLOAT_REFUND.replace('f"refunds {value.value}, a float"', "exit()")])
def test_one_that_ends_the_process_makes_nothing_pass(text: str) -> None:
    (problem,) = seen(of(text), "bank.refund(0.5)\n").problems
    assert "SystemExit" in problem.message


def test_a_detector_of_a_team_that_fails_is_not_our_fault() -> None:
    (problem,) = seen(of(FLOAT_REFUND.replace('f"refunds {value.value}, a float"', "1 / 0")), "bank.refund(0.5)\n").problems
    assert not problem.is_ours
    assert f"ZeroDivisionError: division by zero ({PATH}:" in problem.message


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "interlock.toml:2: there is no hazard below 'hazards'; expected hazards/<family>/<name>.py"),
        ({"hazards/refund.py": ""}, "hazards/refund.py: is no hazard there; expected hazards/<family>/<name>.py"),
        ({"hazards/a/b/refund.py": ""}, "hazards/a/b/refund.py: is no hazard there"),
        ({"hazards/payments/float-refund.py": ""}, "hazards/payments/float-refund.py: its name cannot be imported"),
        ({"hazards/pay.ments/refund.py": ""}, "hazards/pay.ments/refund.py: its name cannot be imported"),
    ],
)
def test_a_file_in_the_wrong_place_says_where_it_belongs(files: dict[str, str], expected: str) -> None:
    with pytest.raises(UsageError) as error:
        own(files)
    assert str(error.value).startswith(expected)


@pytest.mark.parametrize("folder", ["/etc", "../hazards", ""])
def test_the_folder_is_within_the_project(folder: str) -> None:
    with pytest.raises(UsageError, match=r"^interlock\.toml:2: folder in hazards is "):
        own(settings=f'[hazards]\nfolder = "{folder}"\n')


def test_it_cannot_take_the_name_of_one_of_ours() -> None:
    with pytest.raises(UsageError, match=r"^hazards/identity/coarse_clock\.py: identity/coarse-clock is a hazard of interlock"):
        listings(own({"hazards/identity/coarse_clock.py": FLOAT_REFUND}))
