"""Can it be undone? Written down is not enough: it was done, in an environment, and timed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.core.verdict import Verdict, worst
from interlock.gate.migrations import answer as migrations
from interlock.gate.question import Answer, Question
from interlock.gate.records.kept import Kept, Policy, kept
from interlock.gate.records.signers import Signer
from interlock.gate.rehearsals import artifact
from interlock.gate.rehearsals.declared import Environment, Rollback

if TYPE_CHECKING:
    from interlock.gate.change import Change


def ask(change: Change) -> Answer:
    """The newest rehearsal that counts for the change, what its migrations lose, and whether what one returns to is pinned."""
    others = (migrations.answer(change), artifact.answer(change))
    parts = [_rehearsed(change), *(part for part in others if part is not None)]
    return Answer(
        verdict=worst(part.verdict for part in parts),
        answer="; ".join(part.answer for part in parts),
        evidence=tuple(line for part in parts for line in part.evidence),
        grounds=tuple(ground for part in parts for ground in part.grounds),
    )


def _rehearsed(change: Change) -> Answer:
    rollback = Rollback.of(change.settings)
    if rollback is None:
        return Answer(verdict=Verdict.UNKNOWN, answer="no [rollback] at the base: what it depends on is not known")
    found, refused = kept(change.repository.root, "rehearsal", Signer.all_of(change.settings))
    covered = rollback.covered(change.repository.tree(change.head))
    if not covered:
        told = f"the change holds no file in {', '.join(rollback.covers)}, so no rehearsal can be bound to what it ships"
        return Answer(verdict=Verdict.UNKNOWN, answer=told)
    contents = change.repository.contents(change.head, [*covered, *(path for one in found for path in one.evidence.subjects)])
    against = list(refused)
    for one in found:
        flaw = _flaw(one, change, covered, contents) or _beyond(one, rollback, Environment.all_of(change.settings))
        if not flaw:
            return _told(one, change)
        against.append(f"{one.path.name[:16]}: {flaw}")
    return Answer(verdict=Verdict.UNKNOWN, answer="no rehearsal that counts is on record", evidence=tuple(against))


def _flaw(one: Kept, change: Change, covered: list[str], contents: dict[str, bytes]) -> str:
    policy = Policy.of(change.settings)
    unknown = [path for path in covered if path not in one.evidence.subjects]
    if unknown:
        return f"it knows nothing of {unknown[0]}"
    could, can = set(one.evidence.found.get("executable", [])), change.executable
    other = [path for path in covered if (path in could) != (path in can)]
    if other:
        return f"whether {other[0]} may be executed is not what it was then"
    needed = policy.needed(is_tier_1=change.touches_tier_1)

    def content(path: str) -> bytes | None:
        return contents.get(path)

    return one.flaw(content, change.moment, policy.max_age, needed)


def _beyond(one: Kept, rollback: Rollback, environments: dict[str, Environment]) -> str:
    """How it was rehearsed otherwise than the base wants it: it was made with the settings of whoever made it."""
    facts = one.evidence.found
    where, seconds = str(facts.get("environment")), facts.get("seconds")
    known = environments.get(where)
    if known is None:
        return f"it was in {where!r}, which is no [[environment]] of the base"
    for url, ours in ((facts.get("version_url"), known.version_url), (facts.get("health_url"), known.health_url)):
        if url != ours:
            return f"it looked at {url or 'an address that it does not tell'}, and {where} of the base is at {ours}"
    if one.evidence.verdict is Verdict.PASS and not (isinstance(seconds, (int, float)) and seconds <= rollback.within_s):
        return f"it took {seconds} s until the old version was back, more than the {rollback.within_s:g} s that are allowed"
    return ""


def _told(one: Kept, change: Change) -> Answer:
    facts = one.evidence.found
    where, seconds = facts.get("environment"), facts.get("seconds")
    told = f"rehearsed in {where} on {one.evidence.made_at:%Y-%m-%d}"
    if one.evidence.verdict is Verdict.PASS:
        told += f", {seconds} s until the old version served and was well"
    else:
        told += f", and it went wrong: {facts.get('flaw') or 'the environment told no version'}"
    steps = tuple(f"{step['command']}: {step['seconds']} s" for step in facts.get("steps", []))
    image = str(dict(facts.get("after") or {}).get("artifact") or "")
    is_loose = bool(image) and not artifact.is_pinned(image)
    if image:
        steps += (f"it returned to {image}{', which is not pinned by digest' if is_loose else ''}",)
    ground = one.ground(f"rehearsal in {where}", change.repository.root, Policy.of(change.settings))
    verdict = worst([one.evidence.verdict, Verdict.UNKNOWN if is_loose else Verdict.PASS])
    return Answer(verdict=verdict, answer=told, evidence=steps, grounds=(ground,))


QUESTION = Question(
    place=6,
    text="Was the rollback rehearsed?",
    prove_with="interlock rehearse rollback --env staging --sign KEY -- COMMANDS",
    ask=ask,
)
