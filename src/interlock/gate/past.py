"""Past deployments: the same questions, with the evidence and at the time of then; what the gate itself said is a part of that.

[deployments]
tags = "v*"
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Self

from interlock.core.errors import UsageError
from interlock.core.settings import strict
from interlock.core.verdict import Verdict
from interlock.gate.change import Change
from interlock.gate.decide import Decision, decide, questions, verdict_of
from interlock.gate.question import Answer, Asked
from interlock.gate.records.recalled import NOTHING, Recalled, recalled

if TYPE_CHECKING:
    from interlock.check.repository import Repository, Tag
    from interlock.core.settings import Document


@dataclass(frozen=True, slots=True)
class Deployments:
    """How a project tells what it deployed."""

    tags: str = "v*"  # a glob over the names of tags

    @classmethod
    def of(cls, document: Document) -> Self:
        """What the settings say."""
        return strict(document, cls, document.tables.get("deployments", {}), "deployments")


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment, held against the one before it."""

    name: str
    decision: Decision
    said: Recalled = NOTHING  # by the gate itself, at that time


def audited(repository: Repository, deployments: Deployments, last: int) -> list[Deployment]:
    """The last deployments, the newest first, each with what the gate would have said of it against the one before.

    Raises:
        UsageError: If there are not two of them to compare.
    """
    tags = [tag for tag in repository.tags() if fnmatchcase(tag.name, deployments.tags)]
    if len(tags) < 2:  # noqa: PLR2004 - a deployment, and the one before.
        message = f"found {len(tags)} tags like {deployments.tags!r}; expected two or more: one is compared with the one before"
        raise UsageError(message)
    pairs = list(zip(tags[1:], tags, strict=False))[:last]
    return [_decided(repository, before, tag) for before, tag in pairs]


def _decided(repository: Repository, before: Tag, tag: Tag) -> Deployment:
    """What the gate would have said. Where the settings of then cannot be read, nothing of that deployment is known."""
    try:
        change = Change.between(repository, before.commit, tag.commit, moment=tag.made_at)
        decision, said = decide(change), recalled(change)
        asked = tuple(map(said.added_to, decision.asked))
        return Deployment(tag.name, Decision(verdict_of(asked), asked, decision.set_aside), said)
    except UsageError as error:
        answer = Answer(verdict=Verdict.UNKNOWN, answer=f"the settings of {before.name} cannot be read: {error}")
        asked = tuple(Asked(name=name, question=question, answer=answer) for name, question in questions().items())
        return Deployment(tag.name, Decision(Verdict.UNKNOWN, asked))
