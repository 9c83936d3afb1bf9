"""What the gate says of migrations: it tries them itself, or takes the word of whoever has signed a trial of this change."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from interlock.core.errors import WorldError
from interlock.core.evidence import Evidence, git_blob
from interlock.core.verdict import Verdict
from interlock.gate.migrations import trial
from interlock.gate.migrations.declared import Migrations
from interlock.gate.question import Answer
from interlock.gate.records.ground import Ground
from interlock.gate.records.kept import Kept, Policy, kept
from interlock.gate.records.signers import Signer, Trust

if TYPE_CHECKING:
    from interlock.gate.change import Change
    from interlock.gate.migrations.trial import Trial

KIND: Final = "migrations"
_SQL: Final = re.compile(r"(^|/)(migrations?|flyway|db/migrate)/.*\.sql|(^|.*/)V\d[\w.]*__\w+\.sql")


def answer(change: Change) -> Answer | None:
    """Whether what the change does to the database can be undone; None if it does nothing to it."""
    settings = Migrations.of(change.settings)
    if settings is None:
        return _undeclared(change)
    policy = Policy.of(change.settings)
    records, against = _records(change)
    signed = next((one for one in records if one.trust.is_at_least(Trust.CI)), None)
    if signed is not None:
        return _of_record(signed, change, policy)
    try:
        return _of_trial(trial.tried(change, settings, lambda _: None), change)
    except WorldError as error:
        needed = policy.needed(is_tier_1=change.touches_tier_1)
        # A trial that went wrong counts whoever tells of it.
        usable = [one for one in records if one.trust.is_at_least(needed) or one.evidence.verdict is Verdict.FAIL]
        if usable:
            return _of_record(usable[0], change, policy)
        return Answer(verdict=Verdict.UNKNOWN, answer=f"migrations: {error}", evidence=tuple(against))


def as_evidence(found: Trial, change: Change, command: tuple[str, ...]) -> Evidence:
    """A trial as it is kept: bound to all that the change writes, and to where it begins."""
    contents = change.repository.contents(change.head, change.paths)
    return Evidence(
        kind=KIND,
        verdict=found.verdict(is_tier_1=change.touches_tier_1),
        subjects={path: git_blob(content) for path, content in contents.items()},
        made_at=datetime.now(UTC),
        command=command,
        found={**found.as_facts(), "paths": change.paths},
    )


def _undeclared(change: Change) -> Answer | None:
    there = [one.path for one in change.differences if one.status != "D"]
    paths = sorted({*trial.looking_like_one(change), *(path for path in there if _SQL.search(path))})
    if not paths:
        return None
    told = f"it brings migrations ({', '.join(paths[:3])}), and no [migrations] at the base says how they are run"
    return Answer(verdict=Verdict.UNKNOWN, answer=told)


def _records(change: Change) -> tuple[list[Kept], list[str]]:
    """The trials of this very change, the newest first, and what speaks against the others."""
    found, against = kept(change.repository.root, KIND, Signer.all_of(change.settings))
    contents = change.repository.contents(change.head, [path for one in found for path in one.evidence.subjects])
    good: list[Kept] = []
    for one in found:
        flaw = one.flaw(contents.get, change.moment, Policy.of(change.settings).max_age, Trust.SELF)
        if not flaw and (one.evidence.found.get("previous_commit"), one.evidence.found.get("paths")) != (
            change.start,
            change.paths,
        ):
            flaw = "it is of another change"
        if flaw:
            against.append(f"{one.path.name[:16]}: {flaw}")
        else:
            good.append(one)
    return good, against


def _of_trial(found: Trial, change: Change) -> Answer | None:
    names = (*found.names, *found.gone, *found.unlisted)
    if not names:
        return None
    return Answer(
        verdict=found.verdict(is_tier_1=change.touches_tier_1),
        answer=trial.in_short(found.names or names, found.round_trip, found.previous.verdict),
        evidence=tuple(found.lines()),
        grounds=(Ground.recomputed("the migrations, on a Postgres of its own", change.moment),),
    )


def _of_record(one: Kept, change: Change, policy: Policy) -> Answer | None:
    facts = one.evidence.found
    doubted = [*facts.get("gone", []), *facts.get("unlisted", []), *facts.get("heads", [])]
    names = facts.get("migrations", []) or doubted
    if not names:
        return None
    round_trip, code_only = Verdict(facts["round_trip"]), Verdict(facts["code_only"])
    verdict = trial.came_to(round_trip, code_only, is_tier_1=change.touches_tier_1)
    return Answer(
        verdict=Verdict.UNKNOWN if doubted and verdict is Verdict.PASS else verdict,
        answer=trial.in_short(names, round_trip, code_only),
        evidence=tuple(facts.get("lines", ())),
        grounds=(one.ground("trial of the migrations", change.repository.root, policy),),
    )
