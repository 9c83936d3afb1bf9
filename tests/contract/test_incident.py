"""Incidents that teach: a record is open until its hazard is known, its test was executed on both versions, its drill wakes."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.documented import disagreements
from tests.machine import needed

if TYPE_CHECKING:
    from tests.conftest import Git, Interlock

RECORD = """
title = "The payment retry queue drops payments"
started_at = 2024-10-17T14:42:00Z
detected_at = 2024-10-17T14:47:00Z
mitigated_at = 2024-10-17T15:29:00Z
resolved_at = 2024-10-17T18:12:00+02:00
users = 200_412
cause = "the key was the user's id and the clock in whole seconds"
hazard = "identity/coarse-clock"
drill = "payments"

[regression]
test = "tests/test_key.py::test_two_in_one_second_are_two"
bad = "v1"
fixed = "v2"

[[money]]
kind = "lost sales and credits"
amount = 182_000

[[timeline]]
at = 2024-10-17T14:52:00Z
what = "cause found"
"""
TEST = "from key import key\n\ndef test_two_in_one_second_are_two():\n    assert key('u', 'p1') != key('u', 'p2')\n"
ERRORS = 'sum(rate(http_requests_total{code="500"}[5m])) / sum(rate(http_requests_total[5m])) > 0.05'
RULES = {"groups": [{"name": "shop", "rules": [{"alert": "Errors", "expr": ERRORS, "labels": {"severity": "page"}}]}]}
ROUTES = "route: {receiver: pager}\nreceivers: [{name: pager, pagerduty_configs: [{service_key: none}]}]\n"
SETTINGS = f"""
[tests]
command = {json.dumps([sys.executable, "-m", "pytest", "-q", "-p", "no:randomly"])}
[alerts]
rules = ["rules.yml"]
alertmanager = "alertmanager.yml"
pagers = ["pager"]
[[drill]]
feature = "payments"
incident = "payment-retry-queue"
series = [
    {{ series = 'http_requests_total{{code="500"}}', of = "bad" }},
    {{ series = 'http_requests_total{{code="200"}}', of = "good" }},
]
"""


@pytest.fixture
def project(git: Git) -> Git:
    needed("promtool", "amtool")
    git.write({"key.py": "def key(user, payment):\n    return user\n", "conftest.py": "", ".gitignore": "__pycache__/\n"})
    git.write({"interlock.toml": SETTINGS, "rules.yml": json.dumps(RULES), "alertmanager.yml": ROUTES})
    git.commit()
    git("tag", "v1")
    git.write({"key.py": "def key(user, payment):\n    return payment\n", "tests/test_key.py": TEST})
    git.commit()
    git("tag", "v2")
    git.write({"incidents/2024-10-17.toml": RECORD})
    return git


def checked(interlock_in: Interlock, git: Git) -> tuple[int, dict[str, tuple[str, str]], bool]:
    ran = interlock_in("incident", "check", "--format", "json", folder=git.root)
    assert ran.out, ran.err
    assert disagreements("interlock incident check", json.loads(ran.out)) == []
    (told,) = json.loads(ran.out)["incidents"]
    return ran.code, {one["lesson"]: (one["verdict"], one["answer"]) for one in told["lessons"]}, told["is_open"]


def test_a_record_that_has_taught_everything_is_closed(interlock_in: Interlock, project: Git) -> None:
    code, told, is_open = checked(interlock_in, project)

    assert (code, is_open) == (0, False), told
    assert told["regression"][1] == "tests/test_key.py::test_two_in_one_second_are_two fails on v1 and passes on v2"
    assert told["drill"][1].startswith("Errors wakes somebody after ")


@pytest.mark.parametrize(
    ("change", "lesson", "why"),
    [
        (('hazard = "identity/coarse-clock"', ""), "hazard", "none is linked"),
        (("identity/coarse-clock", "identity/coarse-clok"), "hazard", "did you mean"),
        (('fixed = "v2"', 'fixed = "v1"'), "regression", "on v1"),
        (('bad = "v1"', 'bad = "v2"'), "regression", "passes on v2 as well"),
        (("::test_two", "::test_too"), "regression", "there is no such test"),
        (('drill = "payments"', ""), "drill", "none is linked"),
        (('drill = "payments"', 'drill = "sign-up"'), "drill", "no [[drill]] of 'sign-up'"),
    ],
)
def test_a_lesson_that_was_not_learnt_keeps_it_open(
    interlock_in: Interlock, project: Git, change: tuple[str, str], lesson: str, why: str
) -> None:
    project.write({"incidents/2024-10-17.toml": RECORD.replace(*change)})
    code, told, is_open = checked(interlock_in, project)

    assert (code, is_open) == (1, True)
    assert told[lesson][0] == "fail"
    assert why in told[lesson][1]
    assert all(answer[0] == "pass" for name, answer in told.items() if name != lesson)


def test_times_are_computed(interlock_in: Interlock, project: Git) -> None:
    line = interlock_in("incident", "list", folder=project.root).out.strip()

    assert line.endswith("detected after 5 min, repaired after 47 min, 200,412 users, 182,000 USD")


def test_trends_count_what_escaped(interlock_in: Interlock, project: Git) -> None:
    ran = interlock_in("incident", "trends", "--format", "json", folder=project.root)
    assert disagreements("interlock incident trends", json.loads(ran.out)) == []
    (row,) = json.loads(ran.out)["quarters"]
    listed = interlock_in("incident", "list", "--format", "json", folder=project.root)
    assert disagreements("interlock incident list", json.loads(listed.out)) == []

    assert (row["quarter"], row["incidents"], row["deployments"], row["escape_rate"]) == ("2024-Q4", 1, 2, 0.5)
    assert (row["mean_to_detect_s"], row["mean_to_repair_s"]) == (300.0, 2820.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("users", "usrs"), "did you mean 'users'?"),
        (("14:47:00Z", "14:41:00Z"), "detected_at is before started_at"),
        (("T14:42:00Z", "T14:42:00"), "expected a time with its zone"),
        (("amount = 182_000", 'amount = "much"'), "expected a whole number"),
        (('test = "tests', 'tests = "tests'), "did you mean 'test'?"),
        (("title =", 'timeline = ["cause found"]\ntitle ='), "timeline holds 'cause found'; expected [[timeline]]"),
        (("title =", "money = 3\ntitle ="), "expected [[money]], one table for each"),
    ],
)
def test_a_record_that_is_not_right_is_told_with_its_place(
    interlock_in: Interlock, git: Git, change: tuple[str, str], message: str
) -> None:
    kept = RECORD if "title =" not in change else RECORD.partition("[regression]")[0]
    git.write({"incidents/one.toml": kept.replace(*change)})
    ran: Any = interlock_in("incident", "list", folder=git.root)

    assert (ran.code, message in ran.err, "incidents/one.toml" in ran.err) == (2, True, True), ran.err


def test_without_records_there_is_nothing_to_tell(interlock_in: Interlock, git: Git) -> None:
    assert interlock_in("incident", "list", folder=git.root).code == 2
