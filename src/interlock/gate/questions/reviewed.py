"""Has a person read it? Two, if it touches what must never fail, whoever wrote it.

Marks of assistants only ever raise what is needed: one person reads what an assistant wrote, and since an absent mark proves
nothing, one reads everything else as well.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from interlock.core.counting import counted
from interlock.core.verdict import Verdict
from interlock.gate.question import Answer, Question
from interlock.gate.records.ground import Ground
from interlock.gate.records.kept import Policy
from interlock.gate.records.signers import Signer, Trust, trust_in
from interlock.gate.reviews.load import load
from interlock.gate.reviews.provenance import provenance
from interlock.gate.reviews.traces import traced
from interlock.gate.reviews.writers import writers

if TYPE_CHECKING:
    from interlock.gate.change import Change
    from interlock.gate.reviews.approvals import Reviews

_OF_TIER_1, _OF_ALL = 2, 1
_MOST_MARKS = 3  # A page must stay a page.


def ask(change: Change) -> Answer:
    """Who wrote it, as far as that shows, and how many people approve of exactly this commit."""
    commits = change.commits
    marks = [*provenance(commits, change.branch), *traced(change)]
    written = f"marks of {', '.join(dict.fromkeys(mark.tool for mark in marks))}" if marks else "no mark of an assistant"
    times = [commit.authored_at for commit in commits]
    seen = [
        f"{counted(len(commits), 'commit')}: {written} (a lower bound: marks are easily lost)",
        *(str(mark) for mark in marks[:_MOST_MARKS]),
        load(change.line_count, (max(times) - min(times)).total_seconds() if times else 0.0),
    ]
    needed = _OF_TIER_1 if change.touches_tier_1 else _OF_ALL
    if change.reviews is None:
        return Answer(
            verdict=Verdict.UNKNOWN,
            answer=f"{written}; {counted(needed, 'person')} must approve, and no approvals were given to count".replace(
                "persons", "people"
            ),
            evidence=tuple(seen),
        )
    reviews = replace(change.reviews, authors=change.reviews.authors | writers(change))
    return _counted(change, reviews, needed, written, seen)


def _vouched(reviews: Reviews, change: Change) -> tuple[Trust, str]:
    """Whose word it is: what a platform tells is a person's, what a file tells that of who signed it, or wrote it."""
    if reviews.platform:
        return Trust.HUMAN, reviews.platform
    trust, by = trust_in(reviews.file, Signer.all_of(change.settings)) if reviews.file else (Trust.SELF, "")
    return trust, f"whoever wrote {reviews.source}" if trust is Trust.SELF else by


def _grounds(reviews: Reviews, head: str, trust: Trust, by: str) -> tuple[Ground, ...]:
    """The words that count."""
    counting = sorted(reviews.approving(head), key=lambda review: review.by)
    return tuple(Ground(what=f"approval of {one.by}", trust=trust, by=by, made_at=one.at) for one in counting)


def _counted(change: Change, reviews: Reviews, needed: int, written: str, seen: list[str]) -> Answer:
    head, (trust, by) = change.head, _vouched(reviews, change)
    trust_needed = Policy.of(change.settings).needed(is_tier_1=change.touches_tier_1)
    approving, refusing = sorted(reviews.counting(head)), sorted(reviews.refusing())
    told = f"{written}; {len(approving)} of {needed} approvals" + (f" ({', '.join(approving)})" if approving else "")
    if refusing:
        told += f", and {', '.join(refusing)} asked for changes"
    verdict = Verdict.PASS if len(approving) >= needed and not refusing else Verdict.FAIL
    if verdict is Verdict.PASS and not trust.is_at_least(trust_needed):
        verdict, told = Verdict.UNKNOWN, f"{told}, but {by} vouches for them; tier 1 needs {trust_needed}"
    return Answer(
        verdict=verdict,
        answer=told,
        evidence=(*seen, f"approvals from {reviews.source}", *reviews.set_aside(head)),
        grounds=_grounds(reviews, head, trust, by) if verdict is not Verdict.UNKNOWN else (),
    )


QUESTION = Question(
    place=3,
    text="Who wrote it, and who has read it?",
    prove_with="interlock gate --approvals FILE, or --pull-request github:OWNER/NAME#NUMBER",
    ask=ask,
    no_waiver="its answer is the word of people already: let them approve",
)
