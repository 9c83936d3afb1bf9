"""What the gate itself said of a deployment at that time, where its verdict was kept: evidence for whoever asks later.

Much of what a verdict rested on is gone a year later: the approvals, the server of the migrations, the evidence on a machine of
CI's. A kept verdict answers what cannot be answered any more. It never makes an answer better that is known without it, nor
one that rests on the two trees alone: these are still there, so nobody need be believed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

from interlock.core.verdict import Verdict
from interlock.gate.records.kept import Kept, Policy, kept
from interlock.gate.records.signers import Signer
from interlock.gate.records.verdicts import KIND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.gate.change import Change
    from interlock.gate.question import Asked
    from interlock.gate.records.ground import Ground

_WHAT: Final = "the gate's own verdict of then"


@dataclass(frozen=True, slots=True)
class Recalled:
    """A kept verdict that counts, and why others of the same content do not."""

    verdict: Verdict | None = None  # None if none counts
    ground: Ground | None = None
    answers: dict[str, tuple[Verdict, str]] | None = None  # by the name of the question
    set_aside: tuple[str, ...] = ()

    def added_to(self, asked: Asked) -> Asked:
        """A question with what was said of it then, if nothing is known of it now."""
        verdict, told = (self.answers or {}).get(asked.name, (Verdict.UNKNOWN, ""))
        is_past_asking = asked.waiver or asked.question.always_required
        is_settled = asked.answer.verdict is not Verdict.UNKNOWN or (is_past_asking and verdict is Verdict.PASS)
        if self.ground is None or verdict is Verdict.UNKNOWN or is_settled:
            return asked
        answer = replace(asked.answer, verdict=verdict, answer=f"{told} ({_WHAT})", grounds=(self.ground,))
        return replace(asked, answer=answer, required=asked.required or verdict is Verdict.FAIL)


NOTHING: Final = Recalled()


def recalled(change: Change) -> Recalled:
    """The newest kept verdict that counts for a change as it was judged."""
    found, _ = kept(change.repository.root, KIND, Signer.all_of(change.settings))
    policy, set_aside = Policy.of(change.settings), list[str]()
    for one in found:
        if not _is_about(one, change):
            continue
        against = _flaw(one, change, policy)
        if not against:
            ground = one.ground(_WHAT, change.repository.root, policy)
            return Recalled(one.evidence.verdict, ground, _answers(one, change, policy), tuple(set_aside))
        set_aside.append(f"kept verdict {one.path.name[:16]}: {against}")
    return Recalled(set_aside=tuple(set_aside))


def _is_about(one: Kept, change: Change) -> bool:
    """Whether it is about exactly this content: what a deployment leaves behind, and what it deletes.

    A link may lead elsewhere by now, so a verdict on one is about nothing that could be found again.
    """
    return not change.left_behind.bare and not change.left_behind.departure(one.evidence.subjects, one.evidence.found)


def _flaw(one: Kept, change: Change, policy: Policy) -> str:
    """What speaks against it. What is bad counts whoever vouches for it, and by whatever settings it was found."""
    if one.evidence.verdict is not Verdict.FAIL and not _is_by_these_settings(one, change):
        return "it was judged by other settings"
    contents = change.repository.contents(change.head, one.evidence.subjects)
    return one.flaw(contents.get, change.moment, policy.max_age, policy.needed(is_tier_1=change.touches_tier_1))


def _is_by_these_settings(one: Kept, change: Change) -> bool:
    verifier: object = one.evidence.frame.fields.get("verifier") if one.evidence.frame else None
    return isinstance(verifier, dict) and cast("dict[str, object]", verifier).get("policies") == change.policies


def _answers(one: Kept, change: Change, policy: Policy) -> dict[str, tuple[Verdict, str]]:
    """What was said of each question, as far as it counts: of a verdict that counts since it is bad, what is bad in it."""
    needed = policy.needed(is_tier_1=change.touches_tier_1)
    is_sound = one.trust.is_at_least(needed) and _is_by_these_settings(one, change)
    return {name: answer for name, answer in _told(one) if is_sound or answer[0] is Verdict.FAIL}


def _told(one: Kept) -> Iterator[tuple[str, tuple[Verdict, str]]]:
    """What was said of each question; what is of another form says nothing."""
    questions: object = one.evidence.found.get("questions")
    for told in cast("list[object]", questions) if isinstance(questions, list) else []:
        table = cast("dict[str, object]", told) if isinstance(told, dict) else {}
        name, verdict, answer = (table.get(key) for key in ("name", "verdict", "answer"))
        if isinstance(name, str) and isinstance(verdict, str) and verdict in list(Verdict) and isinstance(answer, str):
            yield name, (Verdict(verdict), answer)
