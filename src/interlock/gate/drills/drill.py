"""One drill: an incident of one feature is replayed against the team's rules and routes. Does somebody wake up, and when?

[alerts]
rules = ["monitoring/rules/*.yml"]
alertmanager = "monitoring/alertmanager.yml"
pagers = ["pagerduty-*"]
page_labels = ["severity=page", "team=checkout"]

[[drill]]
feature = "payments"
incident = "payment-retry-queue"      # built in, or a file; or instead of it: falls_to = 0.8, per_s = 420
within_s = 600
series = [
    { series = 'http_requests_total{job="shop",code="500"}', of = "bad" },
    { series = 'shop_orders_completed_total{job="shop"}', of = "good" },
]
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Self

from interlock.core.counting import counted
from interlock.core.errors import UsageError
from interlock.core.globs import is_below, matches
from interlock.core.settings import strict, tables
from interlock.core.verdict import Verdict
from interlock.gate.drills.incident import Incident, incident
from interlock.gate.drills.inhibition import Inhibition
from interlock.gate.drills.monitoring import alert_names, delays_s, idle, longest_wait_s, timed
from interlock.gate.drills.promtool import Firing, firings
from interlock.gate.drills.routes import receivers
from interlock.gate.drills.series import STEP_S, Series

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from interlock.core.settings import Document

_LOOK_EVERY_S: Final = 30
_LOOK_FOR_S: Final = 7200.0  # Whoever is not woken within two hours, users wake.
_QUIET_S: Final = 900  # Of the time before, this much is looked at: an alert that rings already says nothing.


@dataclass(frozen=True, slots=True)
class Monitoring:
    """Where the team's alerts are declared."""

    rules: tuple[str, ...]  # globs
    alertmanager: str = ""
    pagers: tuple[str, ...] = ()  # names of receivers that wake somebody up; `*` stands for anything
    page_labels: tuple[str, ...] = ("severity=page",)  # of a rule that `drill --write-rule` writes

    @classmethod
    def of(cls, document: Document) -> Monitoring | None:
        """What the settings say; None if they say nothing. Raises UsageError if they are not right."""
        if "alerts" not in document.tables:
            return None
        monitoring = strict(document, cls, document.tables["alerts"], "alerts")
        for glob in monitoring.rules:
            if not is_below(glob):
                raise document.fail("rules", f"rules in [alerts] has {glob!r}; expected a glob below the project")
        if monitoring.alertmanager and not is_below(monitoring.alertmanager):
            message = f"alertmanager in [alerts] is {monitoring.alertmanager!r}; expected a path below the project"
            raise document.fail("alertmanager", message)
        return monitoring


@dataclass(frozen=True, slots=True)
class Drill:
    """What is to be replayed, as a team declares it."""

    feature: str
    series: list[object]
    incident: str = ""
    falls_to: float = 1.0
    per_s: float = 0.0
    within_s: float = 600.0

    @classmethod
    def all_of(cls, document: Document) -> tuple[Self, ...]:
        """The drills of a project. Raises UsageError if one is not declared right."""
        drills = tuple(strict(document, cls, table, "drill") for table in tables(document, "drill"))
        for drill in drills:
            drill.shown(document)
            if bool(drill.incident) == bool(drill.per_s):
                raise document.fail("drill", f"the drill of {drill.feature!r} needs an incident, or falls_to and per_s")
            if drill.incident and not is_below(drill.incident):
                raise document.fail("incident", f"incident is {drill.incident!r}; expected a path below the project")
        return drills

    def shown(self, document: Document) -> list[Series]:
        """The series that show the incident."""
        found = [strict(document, Series, table, "series") for table in self.series]
        for series in found:
            series.check(document)
        if not found:
            raise document.fail("series", f"the drill of {self.feature!r} has no series to show the incident")
        return found

    def replayed(self, files: dict[str, bytes]) -> Incident:
        """The incident itself."""
        return incident(self.incident, files) if self.incident else Incident.dropping(self.falls_to, self.per_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a drill came to."""

    verdict: Verdict
    answer: str  # one line
    fired: tuple[Fired, ...] = ()
    happened: Incident | None = None  # what was replayed; None if nothing was
    within_s: float | None = None  # until when somebody has to be woken

    def as_facts(self) -> dict[str, Any]:
        """For programs, and to be drawn: the course of success, and when somebody hears of it."""
        course = self.happened.course if self.happened else ()
        return {
            "verdict": self.verdict,
            "answer": self.answer,
            "within_s": self.within_s,
            "course": [{"at_s": point.at_s, "success": point.success} for point in course],
            "fired": [asdict(fired) for fired in self.fired],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """An alert that the incident set off."""

    alert: str
    after_s: float  # from the beginning of the incident until it fires
    receivers: tuple[str, ...]
    pages_after_s: float | None  # until somebody is woken; None if nobody is


def is_needed(path: str, monitoring: Monitoring, drills: Iterable[Drill]) -> bool:
    """Whether a file of the project has a part in one of the drills."""
    return (
        path == monitoring.alertmanager
        or any(path == drill.incident for drill in drills)
        or any(matches(path, glob) for glob in monitoring.rules)
    )


def replay(
    drill: Drill,
    series: Sequence[Series],
    monitoring: Monitoring,
    files: dict[str, bytes],
    on_call: tuple[str, ...] = (),
) -> Result:
    """Replays it.

    Args:
        drill: What to replay.
        series: The series that show it.
        monitoring: Where the rules and routes are.
        files: The project's files by path, the rules, routes and incidents among them.
        on_call: The receivers that wake who is on call for the feature, if it names any: then nobody else will do.

    Raises:
        UsageError: If a file is not right, or there are no rules.
        WorldError: If Prometheus's or Alertmanager's tools are missing.
    """
    rules = {path: content for path, content in files.items() if any(matches(path, glob) for glob in monitoring.rules)}
    alerts = alert_names(rules)
    if not alerts:
        message = f"no alert in {', '.join(monitoring.rules)} ({counted(len(rules), 'file')})"
        raise UsageError(message)
    happened = drill.replayed(files)
    with TemporaryDirectory(prefix="interlock-drill-") as place:
        folder = Path(place)
        paths = [_laid(folder, number, content) for number, content in enumerate(rules.values())]
        shown = {one.series: one.values(happened) for one in series}
        seen = firings(paths, alerts, shown, _moments_s(happened), folder)
        first = partial(_set_off, seen=seen, begins_s=happened.history_s, late_s=delays_s(rules))
        set_off = first(seen)
        name = monitoring.alertmanager
        config = _laid(folder, len(rules), _needed(files, name)) if name else None
        if config is None or not set_off:
            return replace(_unrouted(set_off, len(alerts)), happened=happened, within_s=drill.within_s)
        pagers = Pagers.of(config.read_bytes(), monitoring.pagers, on_call)
        heard = [_followed(one, config, pagers) for one in first(_let_through(seen, config.read_bytes()))]
        judged = _judged(drill, heard, pagers) if heard else _held_back(set_off)
    return replace(judged, happened=happened, within_s=drill.within_s)


def _laid(folder: Path, number: int, content: bytes) -> Path:
    path = folder / f"{number}.yml"
    path.write_bytes(content)
    return path


def _needed(files: dict[str, bytes], path: str) -> bytes:
    if path not in files:
        message = f"alertmanager is {path!r} in [alerts], and there is no such file"
        raise UsageError(message)
    return files[path]


def _moments_s(happened: Incident) -> list[int]:
    """When to look: in the quiet before, and then until the end, or until two hours have passed."""
    begins_s = int(happened.history_s // STEP_S) * STEP_S
    last_s = begins_s + int(min(happened.lasts_s, _LOOK_FOR_S))
    return [
        begins_s - _QUIET_S,
        begins_s - _QUIET_S // 2,
        begins_s,
        *range(begins_s + _LOOK_EVERY_S, last_s + 1, _LOOK_EVERY_S),
    ]


def _set_off(firings: Iterable[Firing], seen: Iterable[Firing], begins_s: float, late_s: Mapping[str, float]) -> list[Firing]:
    """The first time of each alert that the incident set off, counted from its beginning, and as late as it can be.

    One that rang before says nothing about it, whatever its labels were: they may hold a value that is another each time.
    """
    rang = {firing.alert for firing in seen if firing.at_s <= begins_s}
    found: dict[tuple[tuple[str, str], ...], Firing] = {}
    for firing in firings:
        first = Firing(firing.at_s - begins_s + late_s.get(firing.alert, 0.0), firing.labels)
        found.setdefault(tuple(sorted(firing.labels.items())), first)
    return [firing for firing in found.values() if firing.alert not in rang]


def _let_through(seen: Sequence[Firing], config: bytes) -> Iterator[Firing]:
    """The alerts, at the moments at which no other one holds them back."""
    rules = Inhibition.all_of(config)
    for _, together in groupby(seen, key=lambda firing: firing.at_s):
        ringing = list(together)
        others = [firing.labels for firing in ringing]
        yield from (one for one in ringing if not any(rule.holds_back(one.labels, others) for rule in rules))


def _held_back(set_off: Iterable[Firing]) -> Result:
    names = ", ".join(sorted({firing.alert for firing in set_off}))
    return Result(verdict=Verdict.FAIL, answer=f"it fires and wakes nobody: {names} is held back by an inhibit rule")


@dataclass(frozen=True, slots=True)
class Pagers:
    """The receivers that wake somebody, as far as the configuration bears that out.

    Attributes:
        globs: Their names; of those who are on call for the feature, if it names any.
        others: The names of all that wake somebody.
        idle: Receivers without any integration: they tell nobody.
        timed: Receivers to which a route leads that is muted at times.
    """

    globs: tuple[str, ...]
    others: tuple[str, ...]
    idle: frozenset[str]
    timed: frozenset[str]

    @classmethod
    def of(cls, config: bytes, globs: tuple[str, ...], on_call: tuple[str, ...]) -> Self:
        """Those of a configuration."""
        return cls(on_call or globs, globs, frozenset(idle(config)), frozenset(timed(config)))

    def among(self, receivers_: Iterable[str]) -> list[str]:
        """Those of some receivers that wake somebody."""
        return [name for name in receivers_ if name not in self.idle and any(fnmatchcase(name, glob) for glob in self.globs)]

    def instead(self, receivers_: Iterable[str]) -> list[str]:
        """Those of some receivers that wake somebody, but not who is on call for the feature."""
        woken = replace(self, globs=self.others).among(receivers_)
        return [name for name in woken if name not in self.among(woken)]

    def told(self, name: str) -> str:
        """A receiver, and why it wakes nobody though it is called as one that does."""
        is_named = any(fnmatchcase(name, glob) for glob in self.globs)
        return f"{name}, which has no integration" if is_named and name in self.idle else name


def _followed(firing: Firing, config: Path, pagers: Pagers) -> Fired:
    """Where an alert goes, and when somebody is woken by it."""
    reached = receivers(config, firing.labels)
    content = config.read_bytes()
    pages_after_s = min((firing.at_s + longest_wait_s(content, name) for name in pagers.among(reached)), default=None)
    return Fired(alert=firing.alert, after_s=firing.at_s, receivers=tuple(reached), pages_after_s=pages_after_s)


def _unrouted(set_off: list[Firing], alerts: int) -> Result:
    if not set_off:
        return Result(verdict=Verdict.FAIL, answer=f"none of {counted(alerts, 'alert')} fires")
    fired = tuple(Fired(alert=one.alert, after_s=one.at_s, receivers=(), pages_after_s=None) for one in set_off)
    return Result(verdict=Verdict.UNKNOWN, answer="whom it wakes is not known: [alerts] names no alertmanager", fired=fired)


def _judged(drill: Drill, fired: list[Fired], pagers: Pagers) -> Result:
    pages = sorted((one for one in fired if one.pages_after_s is not None), key=lambda one: one.pages_after_s or 0.0)
    reached = {name for one in fired for name in one.receivers}
    instead = sorted(pagers.instead(reached))
    if not pages and instead:
        told = f"it fires and wakes {', '.join(instead)}, and not who is on call for it ({', '.join(pagers.globs)})"
        return Result(verdict=Verdict.FAIL, answer=told, fired=tuple(fired))
    if not pages:
        where = ", ".join(sorted(map(pagers.told, reached))) or "nowhere"
        return Result(verdict=Verdict.FAIL, answer=f"it fires and wakes nobody: it goes to {where}", fired=tuple(fired))
    sure = [one for one in pages if not pagers.timed.issuperset(pagers.among(one.receivers))]
    first = (sure or pages)[0]
    paged_s = first.pages_after_s or 0.0
    told = f"{first.alert} wakes somebody after {in_minutes(paged_s)}"
    if paged_s > drill.within_s:
        late = f"{told}, later than the {in_minutes(drill.within_s)} that are allowed"
        return Result(verdict=Verdict.FAIL, answer=late, fired=tuple(fired))
    if not sure:
        told += ", unless the route to it is muted then (mute_time_intervals, active_time_intervals)"
    return Result(verdict=Verdict.PASS if sure else Verdict.UNKNOWN, answer=told, fired=tuple(fired))


def in_minutes(seconds: float) -> str:
    """`6 min 30 s`, as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    return " ".join(part for part in (f"{minutes} min" if minutes else "", f"{rest} s" if rest or not minutes else "") if part)
