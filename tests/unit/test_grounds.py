"""What an answer rests on: nothing shows as better vouched for than it is, and a pass that rests on nothing is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from interlock.core.errors import UsageError
from interlock.core.settings import Document
from interlock.core.verdict import Verdict
from interlock.gate.decide import grounded, questions
from interlock.gate.question import Answer, Question
from interlock.gate.records.ground import Ground
from interlock.gate.records.kept import Policy
from interlock.gate.records.signers import Signer, Trust

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def question(recomputes: str = "") -> Question:
    return Question(place=1, text="?", prove_with="look", ask=lambda _: answered(Verdict.PASS), recomputes=recomputes)


def answered(verdict: Verdict, *grounds: Ground) -> Answer:
    return Answer(verdict=verdict, answer="yes", grounds=grounds)


def rehearsal(age: timedelta = timedelta(days=6), left: timedelta = timedelta(days=24)) -> Ground:
    made_at = NOW - age
    return Ground(what="rehearsal", trust=Trust.CI, by="ci@shop.example", made_at=made_at, expires_at=NOW + left)


def test_a_pass_that_rests_on_nothing_is_unknown() -> None:
    found = grounded(question(), answered(Verdict.PASS), NOW)

    assert (found.verdict, found.answer) == (Verdict.UNKNOWN, "yes, but nothing is named that this rests on")


def test_a_pass_on_record_stays_what_it_is() -> None:
    passed = answered(Verdict.PASS, rehearsal())

    assert grounded(question(), passed, NOW) == passed


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL])
def test_what_the_gate_works_out_is_of_this_very_moment(verdict: Verdict) -> None:
    own, other = grounded(question("drills"), answered(verdict, rehearsal()), NOW).grounds

    assert (own.trust, own.made_at, own.expires_at) == (Trust.RECOMPUTED, NOW, None)
    assert other == rehearsal()


@pytest.mark.parametrize("recomputes", ["", "drills"])
def test_an_open_question_rests_on_nothing(recomputes: str) -> None:
    assert grounded(question(recomputes), answered(Verdict.UNKNOWN), NOW).grounds == ()


def test_no_key_can_be_declared_to_recompute() -> None:
    signer = {"name": "me", "trust": "recomputed", "key": "ssh-ed25519 AAAA"}
    with pytest.raises(UsageError, match="trust of signer 'me' is 'recomputed'"):
        Signer.all_of(Document("interlock.toml", "", {"signer": [signer]}))
    with pytest.raises(UsageError, match="expected one of self, ci, human"):
        Policy.of(Document("interlock.toml", "", {"evidence": {"tier_1": "recomputed"}}))


@pytest.mark.parametrize(
    ("ground", "told"),
    [
        (rehearsal(), "rehearsal, 6 days old, good for 24 days more, vouched for by ci@shop.example (ci)"),
        (
            rehearsal(timedelta(minutes=7), timedelta(hours=5)),
            "rehearsal, 7 min old, good for 5 h more, vouched for by ci@shop.example (ci)",
        ),
        (
            rehearsal(timedelta(days=31), timedelta(days=-1)),
            "rehearsal, 31 days old, good for 0 min more, vouched for by ci@shop.example (ci)",
        ),
        (
            rehearsal(timedelta(seconds=-9), timedelta(days=1)),
            "rehearsal, 0 min old, good for 1 day more, vouched for by ci@shop.example (ci)",
        ),
        (
            Ground(what="approval of bo", trust=Trust.HUMAN, by="GitHub", made_at=None),
            "approval of bo, of unknown age, vouched for by GitHub (human)",
        ),
        (Ground.recomputed("drills", NOW), "recomputed: drills"),
    ],
)
def test_its_age_and_its_trust_are_told_in_one_line(ground: Ground, told: str) -> None:
    assert ground.told(NOW) == told


def test_questions_have_names_that_outlive_their_wording() -> None:
    assert list(questions())[:2] == ["touched", "planted"]
    assert {"reviewed", "proved", "tests", "rollback", "canary", "alerts"} <= questions().keys()
