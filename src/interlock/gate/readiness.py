"""Five questions that a team answers of what must never fail, before something goes wrong with it: short texts, by people.

[[feature]]
name = "payments"
tier = 1

[feature.readiness]
rollback = "yes: the image before is pinned, and serves again within 10 minutes"
delivery = "merged to main, then a canary of 1 %, then everybody within 75 minutes"
blast_radius = "1 % of the users for 30 minutes; the flag `payments` turns it off"
must_keep_running = "sign-in and the order book, without payments if need be"
worst_case = "customers pay twice, until somebody looks at the ledger"
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ASKED: Final = {
    "rollback": "can a bug be rolled back?",
    "delivery": "how do changes reach production?",
    "blast_radius": "how is the blast radius kept small?",
    "must_keep_running": "what must keep running?",
    "worst_case": "what is the worst that can happen?",
}
_EXAMPLES: Final = {
    "rollback": "yes: the image before is pinned, and serves again within 10 minutes",
    "delivery": "merged to main, then a canary of 1 %, then everybody within 75 minutes",
    "blast_radius": "1 % of the users for 30 minutes; a flag turns it off",
    "must_keep_running": "sign-in and the order book, without this if need be",
    "worst_case": "customers pay twice, until somebody looks at the ledger",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What people say of one feature. Empty where nobody has said anything."""

    rollback: str = ""
    delivery: str = ""
    blast_radius: str = ""
    must_keep_running: str = ""
    worst_case: str = ""

    @classmethod
    def names(cls) -> list[str]:
        """The five, in their order."""
        return [field.name for field in fields(cls)]

    def said(self, name: str) -> str:
        """One answer. What was pasted from the example and left as it is, or has no word in it, says nothing."""
        text: str = getattr(self, name).strip()
        return "" if text == _EXAMPLES[name] or not any(character.isalpha() for character in text) else text


NOTHING_SAID: Final = Readiness()


def example(feature: str, missing: Iterable[str], section: str = "feature") -> Iterator[str]:
    """The lines to paste into the settings, and to put into one's own words.

    Args:
        feature: Its name.
        missing: What nobody has said yet.
        section: What the tables of features are called in the settings file.
    """
    yield f'paste below [[{section}]] "{feature}", on the base branch, and say it in your own words:'
    yield f"[{section}.readiness]"
    yield from (f'{name} = "{_EXAMPLES[name]}"   # {ASKED[name]}' for name in missing)
