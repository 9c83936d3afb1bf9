"""The evidence on record, and what speaks against each piece of it: edited, of other code, too old, vouched for by too little.

[evidence]
max_age_days = 30
tier_1 = "ci"          # who must vouch for what a feature of tier 1 needs
waiver_max_days = 14   # how long a waiver may count
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self

from interlock.core import evidence
from interlock.core.errors import UsageError
from interlock.core.settings import strict
from interlock.core.verdict import Verdict
from interlock.gate.records.ground import Ground
from interlock.gate.records.signers import Signer, Trust, trust_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from interlock.core.evidence import Evidence
    from interlock.core.settings import Document

_MOST_PATHS: Final = 3
_VOUCHING: Final = (Trust.SELF, Trust.CI, Trust.HUMAN)


@dataclass(frozen=True, slots=True)
class Policy:
    """When evidence counts."""

    max_age_days: int = 30
    tier_1: str = "ci"
    waiver_max_days: int = 14

    @classmethod
    def of(cls, document: Document) -> Self:
        """What the settings say. Raises UsageError if they are not right."""
        policy = strict(document, cls, document.tables.get("evidence", {}), "evidence")
        if policy.tier_1 not in _VOUCHING:
            raise document.fail("tier_1", f"tier_1 in evidence is {policy.tier_1!r}; expected one of {', '.join(_VOUCHING)}")
        return policy

    @property
    def max_age(self) -> timedelta:
        """How old evidence may be."""
        return timedelta(days=self.max_age_days)

    def needed(self, *, is_tier_1: bool) -> Trust:
        """Who must vouch for evidence."""
        return Trust(self.tier_1) if is_tier_1 else Trust.SELF


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A piece of evidence where it lies."""

    path: Path
    evidence: Evidence
    trust: Trust
    signer: str

    def ground(self, what: str, root: Path, policy: Policy) -> Ground:
        """It as the ground of an answer.

        Args:
            what: What it is, for people.
            root: The top of the repository.
            policy: By which it expires.
        """
        return Ground(
            what=what,
            trust=self.trust,
            by=self.signer,
            made_at=self.evidence.made_at,
            expires_at=self.evidence.made_at + policy.max_age,
            path=self.path.relative_to(root).as_posix(),
        )

    def flaw(self, contents: Callable[[str], bytes | None], now: datetime, max_age: timedelta, needed: Trust) -> str:
        """What speaks against it; nothing, if it counts.

        A failure counts whoever vouches for it: to forge one closes the forger's own gate, and to pass it over hides it.

        Args:
            contents: The tree under judgement.
            now: The moment of judgement.
            max_age: How old it may be.
            needed: Who must vouch for it.
        """
        stale = self.evidence.stale_paths(contents)
        age = now - self.evidence.made_at
        if stale:
            more = f" and {len(stale) - _MOST_PATHS} more" if len(stale) > _MOST_PATHS else ""
            return f"it is about other code: {', '.join(stale[:_MOST_PATHS])}{more} changed"
        if not self.evidence.subjects:
            return "it is about no code"
        if age > max_age:
            return f"it is {age.days} days old, more than {max_age.days}"
        if age < -timedelta(minutes=5):
            return "it was made in the future"
        if not self.trust.is_at_least(needed) and self.evidence.verdict is not Verdict.FAIL:
            return f"{self.signer} vouches for it; tier 1 needs {needed}"
        return ""


def kept(project: Path, kind: str, signers: Sequence[Signer]) -> tuple[list[Kept], list[str]]:
    """The evidence of a kind, the newest first, and what is in its folder that is none."""
    found, refused = list[Kept](), list[str]()
    for path in sorted((project / evidence.FOLDER / kind).glob("*.json")):
        try:
            one = evidence.read(path)
        except UsageError as error:
            refused.append(str(error).replace(f"{project}/", ""))
            continue
        if one.kind != kind:  # A good proof that was put among the rehearsals, with its signature, is no rehearsal.
            refused.append(f"{path.relative_to(project)}: is evidence of {one.kind!r}; expected {kind!r} in this folder")
            continue
        trust, signer = trust_in(path, signers)
        found.append(Kept(path=path, evidence=one, trust=trust, signer=signer))
    return sorted(found, key=lambda one: one.evidence.made_at, reverse=True), refused
