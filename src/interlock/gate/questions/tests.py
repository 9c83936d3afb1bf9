"""Would the tests notice if a known hazard were planted in what changed?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interlock.core.counting import counted
from interlock.core.verdict import Verdict
from interlock.gate.question import Answer, Question
from interlock.gate.records.ground import Ground
from interlock.gate.records.kept import Kept, Policy, kept
from interlock.gate.records.signers import Signer
from interlock.gate.test_audit.audit import mutants
from interlock.gate.test_audit.before import altered
from interlock.gate.test_audit.coverage import uncovered
from interlock.gate.test_audit.declared import TestSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interlock.gate.change import Change
    from interlock.gate.test_audit.declared import MustTest

_MOST_LINES = 8  # A page must stay a page.


def ask(change: Change) -> Answer:
    """Whether the tests that must exist are there, and the newest audit of them that counts."""
    if not change.touched:
        return Answer(verdict=Verdict.UNKNOWN, answer="it touches no declared feature, so no test must exist for it")
    names = {feature.name for feature in change.touched}
    musts = [must for must in change.must_tests if must.feature in names]
    bare = sorted(names - {must.feature for must in musts})
    found = _of(change, musts)
    if found and (found.verdict is Verdict.FAIL or not bare):
        return found
    return Answer(verdict=Verdict.UNKNOWN, answer=f"no [[must_test]] is declared at the base for {', '.join(bare)}")


def _of(change: Change, musts: list[MustTest]) -> Answer | None:
    """What is known of the tests that must exist; None if none must."""
    if not musts:
        return None
    there = change.repository.contents(change.head, {must.path for must in musts})  # A link is no file of the change.
    gone = [must for must in musts if must.path not in there]
    if gone:
        lines = tuple(f"{must.id} guards: {must.guards}" for must in gone)
        told, ground = (
            f"{counted(len(gone), 'test')} that must exist is gone",
            Ground.recomputed("the files of the change", change.moment),
        )
        return Answer(verdict=Verdict.FAIL, answer=told, evidence=lines, grounds=(ground,))
    return _audited(change, [must.id for must in musts])


def _audited(change: Change, ids: list[str]) -> Answer:
    found, refused = kept(change.repository.root, "tests", Signer.all_of(change.settings))
    contents = change.repository.contents(change.head, sorted({path for one in found for path in one.evidence.subjects}))
    against = list(refused)
    for one in found:
        flaw = _flaw(one, change, ids, contents)
        if not flaw:
            return _told(one, change)
        against.append(f"{one.path.name[:16]}: {flaw}")
    return Answer(verdict=Verdict.UNKNOWN, answer="no audit of the tests that counts is on record", evidence=tuple(against))


def _flaw(one: Kept, change: Change, ids: list[str], contents: dict[str, bytes]) -> str:
    policy = Policy.of(change.settings)
    unaware = [name for name in ids if name not in one.evidence.found.get("ran", [])]
    if unaware:
        return f"it did not run {unaware[0]}"
    unseen = [path for path in change.lines if path not in one.evidence.subjects and path in change.sources[1]]
    if unseen:
        return f"it knows nothing of {unseen[0]}"

    def content(path: str) -> bytes | None:
        return contents.get(path)

    needed = policy.needed(is_tier_1=change.touches_tier_1)
    flaw = one.flaw(content, change.moment, policy.max_age, needed)
    if flaw or one.evidence.verdict is not Verdict.PASS:
        return flaw
    shares, at_least = one.evidence.found.get("covered", {}), TestSettings.of(change.settings).coverage_min
    return _unplanted(one, change) or _untried(one, change, ids) or uncovered(change, shares, at_least)


def _unplanted(one: Kept, change: Change) -> str:
    """What a good audit left out: one against another base, or by fewer hazards, has planted less than this change asks for."""
    planted = {(plant["hazard"], plant["at"]) for plant in one.evidence.found.get("planted", [])}
    for hazard, path, mutant in mutants(change):
        if (hazard, f"{path}:{mutant.line}") not in planted:
            return f"it did not plant {hazard} in {path}:{mutant.line}"
    return ""


def _untried(one: Kept, change: Change, ids: list[str]) -> str:
    """Which tests a good audit has not run as they were before the change altered them."""
    wanted = altered(change, [must for must in change.must_tests if must.id in ids])
    before: Any = one.evidence.found.get("before")
    tried: object = before["altered"] if before else {}
    if not wanted or wanted == tried:
        return ""
    return f"it did not run the tests as they were before the change altered {next(iter(wanted))}"


def _told(one: Kept, change: Change) -> Answer:
    facts = one.evidence.found
    survivors = [
        f"no test fails when {planted['what']} at {planted['at']} ({planted['hazard']})"
        for planted in facts["planted"]
        if planted["noticed"] is False
    ]
    lines = [*(f"{name}: {why}" for name, why in facts["missing"].items()), *survivors, *facts.get("uncovered", [])]
    lines += [*facts.get("doubts", []), *_as_before(facts)]
    planted = counted(len(facts["planted"]), "hazard")
    told = f"{counted(len(facts['ran']), 'test')} ran, {planted} planted, {len(survivors)} not noticed"
    ground = one.ground("audit of the tests", change.repository.root, Policy.of(change.settings))
    return Answer(verdict=one.evidence.verdict, answer=told, evidence=tuple(lines[:_MOST_LINES]), grounds=(ground,))


def _as_before(facts: Mapping[str, Any]) -> list[str]:
    before = facts.get("before")
    good = [name for name, why in before["tests"].items() if not why] if before else []
    altered_ = ", ".join(before["altered"]) if before else ""
    return [f"the change alters {altered_}; as they were before, {counted(len(good), 'test')} passed on it"] if good else []


QUESTION = Question(
    place=5,
    text="Do the tests fail when the hazard is planted?",
    prove_with="interlock audit --tests --base BASE --coverage coverage.json --sign KEY",
    ask=ask,
)
