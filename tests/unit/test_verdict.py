"""Three answers, never two."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.verdict import Verdict, worst

PASS, UNKNOWN, FAIL = Verdict.PASS, Verdict.UNKNOWN, Verdict.FAIL
some_verdicts = st.lists(st.sampled_from(Verdict), min_size=1)


def test_of_no_answer_at_all_nothing_is_known() -> None:
    assert worst([]) is UNKNOWN


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [([PASS], PASS), ([PASS, UNKNOWN], UNKNOWN), ([UNKNOWN, FAIL], FAIL), ([FAIL, PASS], FAIL), ([PASS, FAIL, UNKNOWN], FAIL)],
)
def test_the_worst_answer_wins(verdicts: list[Verdict], expected: Verdict) -> None:
    assert worst(verdicts) is expected


@given(some_verdicts, some_verdicts)
def test_neither_order_nor_grouping_matters(some: list[Verdict], others: list[Verdict]) -> None:
    assert worst(some + others) is worst(others + some) is worst([worst(some), worst(others)])


@given(some_verdicts)
def test_it_is_a_pass_only_if_every_answer_is(verdicts: list[Verdict]) -> None:
    assert (worst(verdicts) is PASS) == all(verdict is PASS for verdict in verdicts)


def test_each_verdict_has_an_exit_code_of_its_own() -> None:
    assert {verdict: verdict.exit_code for verdict in Verdict} == {PASS: 0, FAIL: 1, UNKNOWN: 3}
