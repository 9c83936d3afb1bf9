"""What a rollout is going to do, and by what it is judged: steps, metrics, and how often a good release may be stopped.

[roll]                         in interlock.toml; every key has a default
alpha = 0.01                   a good release is stopped in at most 1 rollout of 100, over all metrics and the whole rollout

[[roll.step]]                  1 %, 10 % and 50 %, then everyone, if there is none
share = 0.01
bake_s = 1800

[[roll.metric]]                failing users, if there is none
name = "orders"
kind = "business"
tolerance = 0.2                a step is passed when it is excluded that 20 % of the orders are missing
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Final, TypeVar

from interlock.core.errors import nearest
from interlock.core.settings import Document, strict

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

OTHERS: Final = (
    "router",
    "source",
    "rollback",
    "promote",
    "argo",
)  # Tables inside [roll] that others read: how traffic is moved, not judged.


class Kind(StrEnum):
    """What a metric counts, and so what an event of it is."""

    FAILURES = "failures"  # Users (or requests, where there is no user) that got a failed answer.
    LATENCY = "latency"  # Users whose answer took longer than a threshold; several thresholds are averaged.
    BUSINESS = "business"  # Users that did what the service is for: ordered, paid. Attributed to the share at exposure.
    COUNT = "count"  # Events counted one by one, such as sign-ups per hour.


class Direction(StrEnum):
    """Which way is bad."""

    UP = "up"
    DOWN = "down"
    EITHER = "either"


class ShareFrom(StrEnum):
    """Where the canary's share is known from."""

    PLAN = "plan"  # The router sends exactly what it is asked; a guard watches that it does.
    REQUESTS = "requests"  # It does not, as where replicas are counted: the share is measured in the requests.


class OnUnknown(StrEnum):
    """What to do at the end of a step's bake time when a metric that could be seen is not known to be good."""

    HOLD = "hold"
    PROMOTE = "promote"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A share of the users, and how long it stays. The step of everyone has nothing to compare with any more."""

    share: float
    bake_s: float = 900.0
    canary_instances: int = 1
    baseline_instances: int = 0  # 0: not known, many.


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One figure that is compared between the canary and the baseline."""

    name: str
    kind: Kind = Kind.FAILURES
    direction: Direction = Direction.UP
    tolerance: float = 0.5  # Passed when a change of the rate by this part of it is excluded.
    weight: float = 1.0  # Its part of alpha, beside the weights of the others.
    above_ms: tuple[float, ...] = ()  # Latency: the thresholds. None: quantiles of the baseline before the first step.
    limit: float = 0.0  # Absolute, whoever's fault it is: a ratio not to exceed, or events per hour not to fall below. 0: none.
    warm_up_s: float = 0.0  # After each step's begin; while it lasts, only a canary worse than x5 is stopped.
    settles_s: float = 0.0  # So long after its user was exposed an event may come, before it is missing.


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a judge has to know before the start."""

    steps: tuple[Step, ...]
    metrics: tuple[Metric, ...]
    alpha: float = 0.01  # Over all metrics and the whole rollout.
    beta: float = 0.05  # How often a metric at the edge of its tolerance may be called good, for each look that promotes.
    harmed_min: int = 3  # One weird user is no evidence, whatever the figures say.
    noise_cv: float = 0.03  # How much instances differ for no reason, where that was not measured.
    share_from: ShareFrom = ShareFrom.PLAN
    on_unknown: OnUnknown = OnUnknown.HOLD
    stale_hold_s: float = 5.0  # No news for so long: nothing goes on.
    stale_abort_s: float = 60.0  # No news for so long: stopped, because nobody would see the harm.

    @property
    def planned_s(self) -> float:
        """How long the steps before everyone take together; 75 minutes by default."""
        return sum(self.watched_s(step) for step in self.steps if step.share < 1)

    def watched_s(self, step: Step) -> float:
        """How long a step lasts: its bake time, and until what its last users do has come."""
        settles_s = max((metric.settles_s for metric in self.metrics), default=0.0)
        return step.bake_s + (settles_s if step.share < 1 else 0.0)

    def metric(self, name: str) -> Metric:
        """The metric of this name. Raises KeyError."""
        return {metric.name: metric for metric in self.metrics}[name]


DEFAULT_STEPS: Final = (
    Step(share=0.01, bake_s=1800),
    Step(share=0.10, bake_s=1800),
    Step(share=0.50, bake_s=900),
    Step(share=1.0, bake_s=0),
)
DEFAULT_METRICS: Final = (Metric(name="failures"),)


@dataclass(frozen=True, slots=True)
class _RollTable:
    """[roll], as it is written."""

    step: list[object] = field(default_factory=list[object])
    metric: list[object] = field(default_factory=list[object])
    alpha: float = 0.01
    beta: float = 0.05
    harmed_min: int = 3
    noise_cv: float = 0.03
    share_from: str = "plan"
    on_unknown: str = "hold"
    stale_hold_s: float = 5.0
    stale_abort_s: float = 60.0


@dataclass(frozen=True, slots=True)
class _StepTable:
    """[[roll.step]], as it is written."""

    share: float
    bake_s: float = 900.0
    canary_instances: int = 1
    baseline_instances: int = 0


_UNSET: Final = -1.0  # Whoever writes a negative time is told so; this one is taken for none written.


@dataclass(frozen=True, slots=True)
class _MetricTable:
    """[[roll.metric]], as it is written."""

    name: str
    kind: str
    direction: str = ""
    tolerance: float = 0.0
    weight: float = 1.0
    above_ms: tuple[float, ...] = ()
    limit: float = 0.0
    warm_up_s: float = _UNSET
    settles_s: float = _UNSET


_LEAST_BAKE_S: Final = 0.001  # A step that ends as it begins is none.
LONGEST_S: Final = 86_400.0  # Whoever waits longer for news than a day does not want any.
_DIRECTIONS: Final = {Kind.BUSINESS: Direction.DOWN, Kind.COUNT: Direction.DOWN}
_TOLERANCES: Final = {Kind.BUSINESS: 0.2, Kind.COUNT: 0.5}
_WARM_UPS_S: Final = {Kind.LATENCY: 60.0}  # Caches and compilers are cold at first; failures need no such excuse.
# Longer than a healthy version stands still, and short beside a step of half an hour.
_SETTLES_S: Final = {Kind.BUSINESS: 10.0, Kind.COUNT: 10.0}


def load_plan(document: Document) -> Plan:
    """The plan in [roll], or the default one.

    Raises UsageError for whatever does not make sense, with the line.
    """
    written: dict[str, object] = document.tables.get("roll", {})
    if isinstance(written, dict):  # pyright: ignore[reportUnnecessaryIsInstance] - what a file holds is not known yet.
        written = {key: value for key, value in written.items() if key not in OTHERS}
    table = strict(document, _RollTable, written, "[roll]")
    return checked(
        document,
        Plan(
            steps=tuple(_step(document, item) for item in table.step) or DEFAULT_STEPS,
            metrics=tuple(_metric(document, item) for item in table.metric) or DEFAULT_METRICS,
            alpha=table.alpha,
            beta=table.beta,
            harmed_min=table.harmed_min,
            noise_cv=table.noise_cv,
            share_from=_word(document, "share_from", ShareFrom, table.share_from),
            on_unknown=_word(document, "on_unknown", OnUnknown, table.on_unknown),
            stale_hold_s=table.stale_hold_s,
            stale_abort_s=table.stale_abort_s,
        ),
    )


def _step(document: Document, item: object) -> Step:
    table = strict(document, _StepTable, item, "[[roll.step]]")
    return Step(
        share=table.share,
        bake_s=table.bake_s,
        canary_instances=table.canary_instances,
        baseline_instances=table.baseline_instances,
    )


def _metric(document: Document, item: object) -> Metric:
    table = strict(document, _MetricTable, item, "[[roll.metric]]")
    kind = _word(document, "kind", Kind, table.kind)
    return Metric(
        name=table.name,
        kind=kind,
        direction=_word(document, "direction", Direction, table.direction or _DIRECTIONS.get(kind, Direction.UP)),
        tolerance=table.tolerance or _TOLERANCES.get(kind, 0.5),
        weight=table.weight,
        above_ms=table.above_ms,
        limit=table.limit,
        warm_up_s=_WARM_UPS_S.get(kind, 0.0) if table.warm_up_s == _UNSET else table.warm_up_s,
        settles_s=_SETTLES_S.get(kind, 0.0) if table.settles_s == _UNSET else table.settles_s,
    )


_E = TypeVar("_E", bound=StrEnum)


def _word(document: Document, key: str, words: type[_E], found: str) -> _E:
    if found not in list(words):
        message = f"{key} is {found!r}; {nearest(found, [word.value for word in words])}"
        raise document.fail(key, message)
    return words(found)


def checked(document: Document, plan: Plan) -> Plan:
    """The plan, with its last step of everyone. Raises UsageError if its figures do not make a rollout."""
    shares = [step.share for step in plan.steps]
    for share in shares:
        _within(document, "share", share, low=0.0, high=1.0)
    if shares != sorted(set(shares)):
        message = f"the shares are {', '.join(f'{share:g}' for share in shares)}; expected each larger than the one before"
        raise document.fail("share", message)
    for key, value in (("alpha", plan.alpha), ("beta", plan.beta)):
        _within(document, key, value, low=0.0, high=0.5)
    _within(document, "noise_cv", plan.noise_cv, low=0.0, high=2.0)
    names = [metric.name for metric in plan.metrics]
    if twice := next((name for name in names if names.count(name) > 1), None):
        message = f"two metrics are called {twice!r}; expected a name for each"
        raise document.fail("name", message)
    for metric in plan.metrics:
        _checked_metric(document, metric)
    for step in plan.steps:
        at_least(document, "bake_s", step.bake_s, 0.0 if step.share == 1.0 else _LEAST_BAKE_S)
        at_least(document, "canary_instances", step.canary_instances, 1)
        at_least(document, "baseline_instances", step.baseline_instances, 0)
    at_least(document, "harmed_min", plan.harmed_min, 1)
    for key, value in (("stale_hold_s", plan.stale_hold_s), ("stale_abort_s", plan.stale_abort_s)):
        _within(document, key, value, low=0.0, high=LONGEST_S)
    return plan if shares[-1] == 1.0 else replace(plan, steps=(*plan.steps, Step(share=1.0, bake_s=0.0)))


def _checked_metric(document: Document, metric: Metric) -> None:
    if not metric.name:
        raise document.fail("name", "a metric's name is empty; expected a word for it")
    _within(document, "weight", metric.weight, low=0.0, high=1e6)
    at_least(document, "limit", metric.limit, 0.0)
    at_least(document, "warm_up_s", metric.warm_up_s, 0.0)
    at_least(document, "settles_s", metric.settles_s, 0.0)
    if metric.settles_s and metric.kind not in _SETTLES_S:
        message = f"settles_s is set on {metric.name!r}, whose kind is {metric.kind}; expected kind = 'business' or 'count'"
        raise document.fail("settles_s", message)
    _within(document, "tolerance", metric.tolerance, low=0.0, high=1.0 if metric.direction is Direction.DOWN else 10.0)
    if metric.above_ms and metric.kind is not Kind.LATENCY:
        message = f"above_ms is set on {metric.name!r}, whose kind is {metric.kind}; expected kind = 'latency'"
        raise document.fail("above_ms", message)
    if metric.kind is Kind.LATENCY and metric.direction is not Direction.UP:
        message = f"direction is {metric.direction} on {metric.name!r}; latency can only be bad upwards"
        raise document.fail("direction", message)


def at_least(document: Document, key: str, value: float, least: float) -> None:
    """Raises UsageError, with the line, if a figure is smaller, endless or none."""
    if not least <= value < inf:
        message = f"{key} is {value:g}; expected a number of at least {least:g}"
        raise document.fail(key, message)


def _within(document: Document, key: str, value: float, *, low: float, high: float) -> None:
    if not low < value <= high:
        message = f"{key} is {value:g}; expected a number above {low:g} and at most {high:g}"
        raise document.fail(key, message)
