"""Was the critical module run under every interleaving and fault that matters, as it is now?"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from interlock.core.globs import matches
from interlock.core.verdict import Verdict, worst
from interlock.gate.question import Answer, Question
from interlock.gate.records.kept import Kept, Policy, kept
from interlock.gate.records.signers import Signer

if TYPE_CHECKING:
    from interlock.gate.change import Change

_MOST_FLAWS = 3  # A page must stay a page.
_UNDER_LOAD = " --load"  # A contract under its loads is proved apart from the same one in schedules.


def ask(change: Change) -> Answer:
    """For each contract of each feature that is touched, the newest proof that counts, or why none does."""
    if not change.touched:
        return Answer(verdict=Verdict.UNKNOWN, answer="it touches no declared feature, so there is nothing to prove")
    contracts = list(dict.fromkeys(name for feature in change.touched for name in feature.contracts))
    bare = [feature.name for feature in change.touched if not feature.contracts]
    found, refused = kept(change.repository.root, "prove", Signer.all_of(change.settings))
    answers = [_proved(change, name, found) for name in contracts]
    answers += [Answer(verdict=Verdict.UNKNOWN, answer=f"{name}: declares no contracts") for name in bare]
    return Answer(
        verdict=worst(one.verdict for one in answers),
        answer="; ".join(one.answer for one in answers),
        evidence=(*refused, *(line for one in answers for line in one.evidence), *_not_run(change, contracts, found)),
        grounds=tuple(ground for one in answers for ground in one.grounds),
    )


def _not_run(change: Change, contracts: list[str], found: list[Kept]) -> list[str]:
    """Told, and no flaw: a contract need not run all of its feature. But a reader should know what the answer is not about."""
    run = {path for one in found if one.evidence.found.get("contracts") in contracts for path in one.evidence.subjects}
    globs = [glob for feature in change.touched for glob in feature.paths]
    paths = sorted(path for path in change.sources[1] if path not in run and any(matches(path, glob) for glob in globs))
    more = f" and {len(paths) - _MOST_FLAWS} more" if len(paths) > _MOST_FLAWS else ""
    return [f"changed, and run by no proof: {', '.join(paths[:_MOST_FLAWS])}{more}"] if run and paths else []


def _proved(change: Change, name: str, found: list[Kept]) -> Answer:
    """What is known of one contract."""
    policy = Policy.of(change.settings)
    needed = policy.needed(is_tier_1=change.touches_tier_1)
    about = [one for one in found if one.evidence.found.get("contracts") == name]
    paths = {path for one in about for path in one.evidence.subjects}
    contents = change.repository.contents(change.head, sorted(paths))

    def content(path: str) -> bytes | None:
        return contents.get(path)

    altered = _altered(change, name.removesuffix(_UNDER_LOAD).partition("::")[0], paths)
    agree = f"{name}: the change alters {altered}: a person has to agree, by a waiver or on the base branch"
    flaws: list[str] = []
    for one in about:
        flaw = one.flaw(content, change.moment, policy.max_age, needed)
        if not flaw and altered and one.evidence.verdict is not Verdict.FAIL:
            return Answer(verdict=Verdict.UNKNOWN, answer=agree, evidence=tuple(_facts(one)))
        if not flaw:
            told, verdict = f"{name}: {one.evidence.verdict}", one.evidence.verdict
            ground = one.ground(f"proof of {name}", change.repository.root, policy)
            return Answer(verdict=verdict, answer=told, evidence=tuple(_facts(one)), grounds=(ground,))
        flaws.append(f"{one.path.name[:16]}: {flaw}")
    told = agree if altered else f"{name}: no proof that counts is on record"
    return Answer(verdict=Verdict.UNKNOWN, answer=told, evidence=tuple(flaws[:_MOST_FLAWS]))


def _altered(change: Change, contract: str, seen: set[str]) -> str:
    """What the change alters of a contract: its file, or one beside it that it was proved with and that no feature claims."""
    if contract in change.paths:
        return "the contract itself"
    folder = PurePosixPath(contract).parent
    for path in sorted(seen.intersection(change.paths)):
        around = PurePosixPath(path).parents
        is_beside = around[0] == folder or (folder.name and folder in around)
        if is_beside and not any(matches(path, glob) for feature in change.features for glob in feature.paths):
            return f"{path}, of which the contract is made"
    return ""


def _facts(one: Kept) -> list[str]:
    return [f"{proof['contract']}: {proof['verdict']}, {_shown(proof)}" for proof in one.evidence.found.get("proofs", [])]


def _shown(proof: dict[str, object]) -> str:
    told = proof.get("violation") or proof.get("reason") or proof.get("bounds")
    parts = [str(part) for part in told] if isinstance(told, list) else [str(told)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    done = f"{proof.get('calls')} calls" if "calls" in proof else f"{proof.get('schedules')} schedules"
    return f"{done}: {'; '.join(parts)}"


QUESTION = Question(
    place=4,
    text="Does the critical module keep its contracts under load and faults?",
    prove_with="interlock prove CONTRACTS --sign KEY",
    ask=ask,
)
