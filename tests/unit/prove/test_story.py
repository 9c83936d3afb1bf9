from __future__ import annotations

import pytest

from interlock.prove.effect import Effect, Step
from interlock.prove.programs import Program
from interlock.prove.proof import Violation
from interlock.prove.story import LINES_MAX, story

CLEARS_UP = "-- afterwards, a worker that nothing happens to clears up"


def step(worker: str, said: str, answer: str = "OK", *, at_s: float = 0.0) -> Step:
    """A command that changes the key that is named second."""
    return Step(worker, Effect("redis", said, writes=frozenset({f"redis:{said.split()[1]}"})), at_s, None, answer)


def told(steps: list[Step], afterwards: tuple[Step, ...] = (), *broken: str) -> list[str]:
    return story(Violation(broken or ("p1 was charged twice",), Program("ok", 2, None), (), (*steps, *afterwards), len(steps)))


def test_a_short_history_is_told_whole() -> None:
    assert told([step("before", "SET p1 1"), step("A", "INCR p1", "2"), step("B", "INCR p1", "3")]) == [
        "  before  SET p1 1 -> OK",
        "     0.0 s  A  INCR p1 -> 2",
        "     0.0 s     B  INCR p1 -> 3",
        CLEARS_UP,
        "   it finds nothing to do",
        "BROKEN: p1 was charged twice",
    ]


def test_after_workers_that_never_end_nobody_is_said_to_have_cleared_up() -> None:
    steps = (step("A", "INCR p1", "2"),)
    stuck = Violation(("every worker waits for another",), Program("ok", 2, None), (), steps, 1, is_cleared_up=False)

    assert story(stuck) == [
        "     0.0 s  A  INCR p1 -> 2",
        "-- it goes no further, and nobody comes to clear up",
        "BROKEN: every worker waits for another",
    ]


def test_what_does_not_touch_what_was_broken_is_folded_and_counted() -> None:
    others = [step("A", f"SET other:{number} 1") for number in range(20)]
    lines = told([step("A", "SET p1 1"), *others, step("B", "SET p1 2")])

    assert len(lines) <= LINES_MAX
    [fold] = [line for line in lines if "more" in line]
    shown = sum("other" in line for line in lines)
    assert fold == f"            ... {20 - shown} more steps of A, none of which touches p1"
    assert {"     0.0 s  A  SET p1 1 -> OK", "     0.0 s     B  SET p1 2 -> OK"} <= set(lines)


def test_what_touches_it_is_never_said_not_to() -> None:
    steps = [step("A", f"LPUSH p1 {number}") for number in range(40)]
    assert [line for line in told(steps) if "none of which" in line] == []


def test_the_effect_that_a_fault_strikes_and_both_sides_of_a_switch_are_told_whatever_they_touch() -> None:
    about = [step("A", f"LPUSH p1 {number}") for number in range(40)]
    struck = step("A", "SET elsewhere:1 1")._replace(fault="crash after")
    preempted, preempting = step("A", "SET elsewhere:2 1"), step("B", "SET elsewhere:3 1")._replace(preempts=True)
    lines = told([*about[:20], preempted, preempting, *about[20:], struck])

    assert len(lines) <= LINES_MAX
    for needed in ("elsewhere:1 1 -> OK   ** crash after", "elsewhere:2", "elsewhere:3"):
        assert [line for line in lines if needed in line], needed


def test_polls_that_come_to_the_same_are_told_once() -> None:
    polls = tuple(step("recovery", "SET p1 9", at_s=60.0 * number) for number in range(12))

    assert told([step("A", "SET p1 1")], polls)[2:] == [
        "     0.0 s  SET p1 9 -> OK",
        "            ... 11 more polls with the same result",
        "BROKEN: p1 was charged twice",
    ]


@pytest.mark.parametrize("count", [3, 4, 9])
def test_of_many_broken_promises_the_first_are_told_and_the_others_counted(count: int) -> None:
    broken = [f"p{number} is lost" for number in range(1, count + 1)]
    lines = told([step("A", f"SET p{number} 1") for number in range(1, 30)], (), *broken)

    assert len(lines) <= LINES_MAX
    assert lines[-1] == ("BROKEN: p3 is lost" if count == 3 else f"BROKEN: and {count - 3} more promise{'s' * (count > 4)}")
