"""A finding is accepted where it stands, by a person who says why."""

from __future__ import annotations

import pytest

from interlock.check.inspect import Inspection, inspect
from interlock.hazards.catalogue import listings

HAZARD = "identity/coarse-clock"
MARK = f"# interlock: ignore[{HAZARD}]: one a day is enough"


def seen(text: str) -> Inspection:
    """What is seen in a file of this text."""
    return inspect("shop/example.py", f"import time\n\ndef f(user):\n{text}".encode(), listings())


def is_suppressed(text: str) -> bool:
    """Whether the one finding is accepted, and nothing is complained of."""
    inspection = seen(text)
    assert len(inspection.findings) + len(inspection.suppressed) == 1
    assert not inspection.problems, str(inspection.problems[0])
    return bool(inspection.suppressed)


def complaint(comment: str) -> str:
    """What is said of a comment that accepts nothing."""
    inspection = seen(f"    order_id = int(time.time())  {comment}\n")
    assert [finding.hazard for finding in inspection.findings] == [HAZARD]
    (problem,) = inspection.problems
    assert (problem.line, problem.is_ours) == (4, False)
    return problem.message


MANY_LINES = "    order_id = (  {0}\n        int(  {1}\n            time.time()  {2}\n        )  {3}\n    )  {4}\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"    order_id = int(time.time())  {MARK}\n", id="on its line"),
        pytest.param(f"    {MARK}\n    order_id = int(time.time())\n", id="alone on the line above"),
        pytest.param(f"    order_id = int(time.time())  # noqa: X1 {MARK}\n", id="behind another comment"),
        pytest.param(f"    order_id = int(time.time())  #interlock: ignore[{HAZARD}]:why not\n", id="without blanks"),
        pytest.param(
            f"    order_id = int(time.time())  # interlock: ignore[redis/no-expiry, {HAZARD}]: both\n", id="with another hazard"
        ),
        pytest.param(MANY_LINES.format("", MARK, "", "", ""), id="on the first of several lines"),
        pytest.param(MANY_LINES.format("", "", "", MARK, ""), id="on the last of several lines"),
    ],
)
def test_it_counts(text: str) -> None:
    assert is_suppressed(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"    text = '{MARK}'; order_id = int(time.time())\n", id="in a string on the line"),
        pytest.param(f"    '''\n    {MARK}\n    '''; order_id = int(time.time())\n", id="in a string above"),
        pytest.param(f"    user = 1  {MARK}\n    order_id = int(time.time())\n", id="beside other code above"),
        pytest.param(f"    {MARK}\n\n    order_id = int(time.time())\n", id="two lines above"),
        pytest.param(f"    order_id = int(time.time())\n    {MARK}\n", id="below"),
        pytest.param(
            "    order_id = int(time.time())  # interlock: ignore[redis/no-expiry]: another\n", id="of another hazard"
        ),
        pytest.param(f"    order_id = int(time.time())  # ignore[{HAZARD}]: of another tool\n", id="of another tool"),
    ],
)
def test_it_does_not_count(text: str) -> None:
    assert not is_suppressed(text)


@pytest.mark.parametrize(
    "comment", [f"# interlock: ignore[{HAZARD}]", f"# interlock: ignore[{HAZARD}]:", f"# interlock: ignore[{HAZARD}]:   "]
)
def test_without_a_reason_it_does_not_count_and_says_so(comment: str) -> None:
    assert complaint(comment).startswith("this suppression gives no reason and does not count")


@pytest.mark.parametrize(
    "comment",
    ["# interlock: ignore", "# interlock: ignore[]: why", "# interlock: ignore everything", "# interlock: ignore[ , ]: x"],
)
def test_without_a_hazard_it_does_not_count_and_says_so(comment: str) -> None:
    assert complaint(comment).startswith("this suppression names no hazard")


def test_an_unknown_hazard_names_the_nearest_right_one() -> None:
    message = complaint("# interlock: ignore[identity/corse-clock]: a reason")
    assert message == "this suppression names 'identity/corse-clock', which is no hazard; did you mean 'identity/coarse-clock'?"


def test_two_lines_need_two() -> None:
    inspection = seen(f"    order_id = int(time.time())  {MARK}\n    payment_id = int(time.time())\n")
    assert [finding.location.line for finding in inspection.suppressed] == [4]
    assert [finding.location.line for finding in inspection.findings] == [5]


def test_an_ill_written_suppression_is_told_in_a_file_that_no_hazard_concerns() -> None:
    seen = inspect("shop/plain.py", b"x = 1  # interlock: ignore[nope/nope]: because\n", listings())
    assert [problem.line for problem in seen.problems] == [1]
