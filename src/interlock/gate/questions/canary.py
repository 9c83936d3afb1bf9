"""Does it reach one user in a hundred first, or everybody at once?

Worked out anew of the manifests of the change, or of the plan of `interlock roll`; how much is allowed says the base.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interlock.core.errors import UsageError
from interlock.core.globs import matches
from interlock.core.verdict import Verdict, worst
from interlock.gate.canaries import kustomize
from interlock.gate.canaries.exposure import Exposure, Stage
from interlock.gate.canaries.manifests import CanarySettings, exposures
from interlock.gate.question import Answer, Question
from interlock.roll.plan import Plan, load_plan

if TYPE_CHECKING:
    from interlock.gate.change import Change


def ask(change: Change) -> Answer:
    """How each release that is declared begins."""
    settings = CanarySettings.of(change.settings)
    if settings is not None:
        return _of_manifests(change, settings)
    if "roll" in change.settings.tables:
        return _of_plan(load_plan(change.settings))
    return Answer(verdict=Verdict.UNKNOWN, answer="neither [canary] manifests nor a [roll] plan is declared at the base")


def _of_manifests(change: Change, settings: CanarySettings) -> Answer:
    there = change.repository.tree(change.head)
    wanted = [path for path in there if any(matches(path, glob) for glob in settings.manifests)]
    kustomizations = [path for path in there if path.rpartition("/")[2] in kustomize.NAMES]
    try:
        found, unclear = exposures(change.repository.contents(change.head, wanted), settings.releases)
        unclear += kustomize.altered(change.repository.contents(change.head, kustomizations), set(wanted) - set(kustomizations))
    except UsageError as error:
        return Answer(verdict=Verdict.UNKNOWN, answer=str(error))
    if not found and not unclear:
        return Answer(verdict=Verdict.UNKNOWN, answer=f"nothing that releases in {', '.join(settings.manifests)}")
    metrics = tuple(metric for feature in change.touched for metric in feature.metrics)
    judged = [exposure.judged(settings.first_step_max, settings.first_step_min_s, metrics) for exposure in found]
    judged += [(Verdict.UNKNOWN, unclear)] if unclear else []
    verdict = worst(one for one, _ in judged)
    told = {Verdict.PASS: "yes", Verdict.FAIL: "no", Verdict.UNKNOWN: "that cannot be told"}[verdict]
    return Answer(
        verdict=verdict,
        answer=told,
        evidence=tuple(reason for _, reasons in judged for reason in reasons),
        facts=_facts(found, settings.first_step_max),
    )


def _facts(found: list[Exposure], first_step_max: float) -> dict[str, Any]:
    return {"first_step_max": first_step_max, "releases": [exposure.as_facts() for exposure in found]}


def _of_plan(plan: Plan) -> Answer:
    first = plan.steps[0]
    told = f"the plan of [roll] begins with {first.share:.3g} of the users for {first.bake_s / 60:.3g} min"
    usual = CanarySettings(manifests=())
    stages = tuple(Stage(least=step.share, most=step.share, stays_s=step.bake_s) for step in plan.steps)
    shown = Exposure(name="interlock roll", least=first.share, most=first.share, how="the plan of [roll]", stages=stages)
    is_small = first.share <= usual.first_step_max and first.bake_s >= usual.first_step_min_s
    return Answer(
        verdict=Verdict.PASS if is_small else Verdict.FAIL,
        answer=told,
        evidence=() if is_small else (f"at most {usual.first_step_max:.0%}, for at least {usual.first_step_min_s:g} s",),
        facts=_facts([shown], usual.first_step_max),
    )


QUESTION = Question(
    place=7,
    text="Does it start on a canary of 1 to 5 %?",
    prove_with="declare [canary] manifests, or a [roll] plan (interlock roll plan), in interlock.toml",
    ask=ask,
    recomputes="the first step, from the manifests or the plan",
)
