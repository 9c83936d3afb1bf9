"""Which open questions are settled by a waiver that counts, and why the others do not count.

A waiver is a person's word, so it settles what is not known, and nothing that is: an answer that is bad stays bad, whoever
agrees to it. What it settles does not become a pass either. The answer stays open, and the verdict does without it, in full
view.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final

from interlock.core.errors import UsageError, WorldError
from interlock.core.verdict import Verdict
from interlock.gate.records.kept import Policy, kept
from interlock.gate.records.signers import Signer, Trust
from interlock.gate.reviews.writers import writers
from interlock.gate.waivers.waiver import KIND, Bound, Waiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.gate.change import Change
    from interlock.gate.question import Asked
    from interlock.gate.records.kept import Kept

_MOST_FLAWS: Final = 3  # A page must stay a page.
_SKEW: Final = timedelta(minutes=5)  # Clocks disagree.


def settled(asked: tuple[Asked, ...], change: Change) -> tuple[tuple[Asked, ...], tuple[str, ...]]:
    """The questions, with the waivers that count; and of the waivers of what keeps the gate closed, why the others do not."""
    closing = [one for one in asked if one.required and one.answer.verdict is not Verdict.PASS]
    if not closing:
        return asked, ()
    try:
        found, refused = kept(change.repository.root, KIND, Signer.all_of(change.settings))
    except WorldError as error:
        return asked, (f"no waiver counts: {error}",)
    waivers = [(Waiver.of(piece, change.repository.root), piece) for piece in found]
    set_aside, counting = refused[:_MOST_FLAWS], dict[str, Waiver]()
    for one in closing:
        waiver, flaws = _newest(one, [pair for pair in waivers if pair[0].question == one.name], change)
        set_aside += [] if waiver else flaws
        counting |= {one.name: waiver} if waiver else {}
    strange = [waiver for waiver, _ in waivers if waiver.question not in {one.name for one in asked}]
    set_aside += [f"{_name(waiver)}: it names no question" for waiver in strange[:_MOST_FLAWS]]
    return tuple(replace(one, waiver=counting.get(one.name)) for one in asked), tuple(set_aside)


def _newest(asked: Asked, found: list[tuple[Waiver, Kept]], change: Change) -> tuple[Waiver | None, list[str]]:
    """The newest waiver of a question that counts; without one, what speaks against the newest ones."""
    flaws = list[str]()
    for waiver, piece in found:
        against = flaw(asked, waiver, piece, change)
        if not against:
            return waiver, []
        flaws.append(f"{_name(waiver)} of {asked.name}: {against}")
    return None, flaws[:_MOST_FLAWS]


def _name(waiver: Waiver) -> str:
    return f"waiver {waiver.path.rpartition('/')[2][:16]}"


def flaw(asked: Asked, waiver: Waiver, piece: Kept, change: Change) -> str:
    """What speaks against a waiver of a question; nothing, if it counts."""
    return next(_flaws(asked, waiver, piece, change), "")


def _flaws(asked: Asked, waiver: Waiver, piece: Kept, change: Change) -> Iterator[str]:
    if asked.answer.verdict is Verdict.FAIL:
        yield "the answer is fail, and a waiver settles only what is open"
    if asked.question.no_waiver:
        yield asked.question.no_waiver
    if waiver.trust is not Trust.HUMAN:
        yield f"{waiver.by} vouches for it; a waiver needs a signer whom the base trusts as {Trust.HUMAN}"
    yield from _unowned(waiver, change)
    if not any(character.isalpha() for character in waiver.reason):
        yield "it gives no reason"
    yield from _out_of_time(waiver, change)
    yield from _unbound(piece, change)


def _unowned(waiver: Waiver, change: Change) -> Iterator[str]:
    """Who may not answer for it: nobody, somebody who did not sign it, whoever wrote what is judged."""
    if not waiver.owner:
        yield "it names no owner"
    elif waiver.owner != waiver.by:
        yield f"its owner is {waiver.owner}, and {waiver.by} signed it"
    if waiver.owner.casefold() in {name.casefold() for name in _authors(change)}:
        yield f"{waiver.owner} wrote a part of the change"


def _authors(change: Change) -> frozenset[str]:
    return writers(change) | (change.reviews.authors if change.reviews else frozenset[str]())


def _out_of_time(waiver: Waiver, change: Change) -> Iterator[str]:
    most, made_on = Policy.of(change.settings).waiver_max_days, waiver.made_at.astimezone(UTC).date()
    if waiver.until is None:
        yield "it names no day until which it counts"
    elif change.moment.astimezone(UTC).date() > waiver.until:
        yield f"it expired on {waiver.until}"
    elif (waiver.until - made_on).days > most:
        yield f"it counts until {waiver.until}, more than {most} days after {made_on}, when it was made"
    if waiver.made_at > change.moment + _SKEW:
        yield "it was made in the future"


def _unbound(piece: Kept, change: Change) -> Iterator[str]:
    """How it is about something else than exactly this change, by the rules of this base."""
    try:
        bound = Bound.to(change)
    except UsageError as error:
        yield str(error)
        return
    if departure := bound.left.departure(piece.evidence.subjects, piece.evidence.found):
        yield departure
    if piece.evidence.found.get("policies") != bound.policies:
        yield "the base has other settings than when it was given"
