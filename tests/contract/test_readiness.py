"""Is the team ready for it to go wrong? Five questions of each Tier-1 feature, answered by evidence or at the base."""

from __future__ import annotations

import json
import tomllib
from functools import partial
from typing import TYPE_CHECKING

import pytest

from interlock.core.errors import UsageError, WorldError
from interlock.gate.change import Change
from interlock.gate.question import Answer, Question
from interlock.gate.readiness import ASKED, Readiness
from tests.gate import answer_to

if TYPE_CHECKING:
    from tests.conftest import Git, Interlock

FEATURE = '[[feature]]\nname = "payments"\ntier = 1\npaths = ["shop/**"]\n'
SAID = {
    "rollback": "yes, with kubectl rollout undo, in two minutes",
    "delivery": "by Argo CD from main",
    "blast_radius": "a canary of 1 %",
    "must_keep_running": "sign-in",
    "worst_case": "customers pay twice",
}


def readiness(said: dict[str, str]) -> str:
    return "[feature.readiness]\n" + "".join(f"{name} = {json.dumps(text)}\n" for name, text in said.items())


def changed(git: Git, settings: str, head: str | None = None) -> None:
    """A project with these settings, and a change to its payments (and to the settings)."""
    git.commit({"interlock.toml": settings, "shop/pay.py": "X = 1\n", "docs.md": ""})
    git.branch("change")
    git.commit({"shop/pay.py": "X = 2\n", **({} if head is None else {"interlock.toml": head})})


asked = partial(answer_to, "ready")


def test_what_people_said_at_the_base_answers_it(interlock_in: Interlock, git: Git) -> None:
    changed(git, FEATURE + readiness(SAID))
    answer = asked(interlock_in, git)
    assert (answer["verdict"], answer["answer"]) == ("pass", "yes, all five questions are answered of payments")
    assert "payments: how do changes reach production? by Argo CD from main (said at the base)" in answer["evidence"]
    assert len(answer["evidence"]) == 5


@pytest.mark.parametrize("name", SAID)
def test_each_of_the_five_that_nobody_has_said_leaves_it_open(interlock_in: Interlock, git: Git, name: str) -> None:
    changed(git, FEATURE + readiness({one: text for one, text in SAID.items() if one != name}))
    answer = asked(interlock_in, git)
    assert (answer["verdict"], answer["required"]) == ("unknown", True)
    assert answer["answer"] == f"payments: nobody can say {name}"
    assert f"payments: {ASKED[name]} nobody has said" in answer["evidence"]


def test_the_example_can_be_pasted_and_alone_answers_nothing(interlock_in: Interlock, git: Git) -> None:
    changed(git, FEATURE)
    answer = asked(interlock_in, git)
    assert answer["answer"] == f"payments: nobody can say {', '.join(SAID)}"
    start = answer["evidence"].index("[feature.readiness]")
    pasted = FEATURE + "\n".join(answer["evidence"][start:])
    (feature,) = tomllib.loads(pasted)["feature"]
    assert list(feature["readiness"]) == list(SAID)
    assert not any(Readiness(**feature["readiness"]).said(name) for name in SAID)


@pytest.mark.parametrize("text", ["", "  ", "...", "?"])
def test_a_text_without_a_word_says_nothing(text: str) -> None:
    assert Readiness(rollback=text).said("rollback") == ""


def test_a_change_cannot_answer_for_itself(interlock_in: Interlock, git: Git) -> None:
    changed(git, FEATURE, FEATURE + readiness(SAID))
    assert asked(interlock_in, git)["verdict"] == "unknown"


@pytest.mark.parametrize(
    ("share", "verdict", "line"),
    [
        (0.01, "pass", "the plan of [roll] begins with 0.01 of the users"),
        (0.5, "unknown", "a canary of 1 % (said at the base), but the plan of [roll] begins with 0.5 of the users"),
    ],
)
def test_evidence_answers_it_and_contradicts_what_is_said(
    interlock_in: Interlock, git: Git, share: float, verdict: str, line: str
) -> None:
    said = SAID if verdict == "unknown" else {name: text for name, text in SAID.items() if name != "blast_radius"}
    plan = f"[[roll.step]]\nshare = {share}\nbake_s = 1800\n"
    changed(git, FEATURE + readiness(said) + plan)
    answer = asked(interlock_in, git)
    assert answer["verdict"] == verdict, answer
    assert any(line in one for one in answer["evidence"]), answer


def test_it_is_asked_of_tier_1_alone(interlock_in: Interlock, git: Git) -> None:
    changed(git, FEATURE.replace("tier = 1", "tier = 2"))
    answer = asked(interlock_in, git)
    assert (answer["verdict"], answer["required"]) == ("unknown", False)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ('[feature.readiness]\nrolback = "yes"\n', "unknown key 'rolback' in readiness; did you mean 'rollback'?"),
        ("[feature.readiness]\nrollback = true\n", "rollback in readiness is 'True'; expected a text"),
        ('readiness = "yes"\n', "readiness is 'yes'; expected a table"),
    ],
)
def test_what_is_not_declared_right_is_a_mistake(interlock_in: Interlock, git: Git, table: str, complaint: str) -> None:
    changed(git, FEATURE + table)
    ran = interlock_in("gate", "--base", "main", folder=git.root)
    assert (ran.code, complaint in ran.err) == (2, True), ran.err


@pytest.mark.parametrize("error", [RuntimeError("no"), WorldError("no"), UsageError("no")])
def test_a_question_that_cannot_be_asked_is_asked_once(git: Git, error: Exception) -> None:
    """Two build on one that takes a minute to fail: it fails once, and both hear of it."""
    git.commit({"a.py": "A = 1\n"})
    change, times = Change.between(git.repository, "HEAD", "HEAD"), list[Change]()

    def ask(asked: Change) -> Answer:
        times.append(asked)
        raise error

    question = Question(place=1, text="Is it?", prove_with="nothing", ask=ask)
    for _ in range(2):
        with pytest.raises(type(error)) as raised:
            change.answer(question)
        assert raised.value is error
    assert len(times) == 1
