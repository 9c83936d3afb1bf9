"""Was the critical module run under every interleaving and fault that matters, as it is now?"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from interlock.core.verdict import Verdict, worst
from interlock.gate.question import Answer, Question
from interlock.gate.records.kept import Kept, Policy, kept
from interlock.gate.records.signers import Signer

if TYPE_CHECKING:
    from interlock.gate.change import Change

_MOST_FLAWS = 3  # A page must stay a page.


def ask(change: Change) -> Answer:
    """For each contract of each feature that is touched, the newest proof that counts, or why none does."""
    if not change.touched:
        return Answer(verdict=Verdict.UNKNOWN, answer="it touches no declared feature, so there is nothing to prove")
    contracts = list(dict.fromkeys(name for feature in change.touched for name in feature.contracts))
    bare = [feature.name for feature in change.touched if not feature.contracts]
    found, refused = kept(change.repository.root, "prove", Signer.all_of(change.settings))
    answers = [_proved(change, name, found) for name in contracts]
    answers += [(Verdict.UNKNOWN, f"{name}: declares no contracts", []) for name in bare]
    return Answer(
        verdict=worst(verdict for verdict, _, _ in answers),
        answer="; ".join(told for _, told, _ in answers),
        evidence=(*refused, *(line for _, _, lines in answers for line in lines)),
    )


def _proved(change: Change, name: str, found: list[Kept]) -> tuple[Verdict, str, list[str]]:
    """What is known of one contract."""
    policy = Policy.of(change.settings)
    needed = policy.needed(is_tier_1=change.touches_tier_1)
    about = [one for one in found if one.evidence.found.get("contracts") == name]
    paths = {path for one in about for path in one.evidence.subjects}
    contents = change.repository.contents(change.head, sorted(paths))

    def content(path: str) -> bytes | None:
        return contents.get(path)

    if name.partition("::")[0] in change.paths:
        return Verdict.UNKNOWN, f"{name}: the change alters the contract itself: a person has to agree, on the base branch", []
    flaws: list[str] = []
    for one in about:
        flaw = one.flaw(content, change.moment, timedelta(days=policy.max_age_days), needed)
        if not flaw:
            return one.evidence.verdict, f"{name}: {one.evidence.verdict}", list(_facts(one))
        flaws.append(f"{one.path.name[:16]}: {flaw}")
    return Verdict.UNKNOWN, f"{name}: no proof that counts is on record", flaws[:_MOST_FLAWS]


def _facts(one: Kept) -> list[str]:
    lines = [f"{proof['contract']}: {proof['verdict']}, {_shown(proof)}" for proof in one.evidence.found.get("proofs", [])]
    return [*lines, f"proved {one.evidence.made_at:%Y-%m-%d}, vouched for by {one.signer} ({one.trust})"]


def _shown(proof: dict[str, object]) -> str:
    told = proof.get("violation") or proof.get("reason") or proof.get("bounds")
    parts = [str(part) for part in told] if isinstance(told, list) else [str(told)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return f"{proof.get('schedules')} schedules: {'; '.join(parts)}"


QUESTION = Question(
    place=4,
    text="Does the critical module keep its contracts under load and faults?",
    prove_with="interlock prove CONTRACTS --sign KEY",
    ask=ask,
)
