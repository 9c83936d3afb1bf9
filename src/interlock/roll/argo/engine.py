"""A judge for each release that is under way: fed from Prometheus, asked by Argo, kept over restarts.

Which share is in force only Argo knows, and without a router it is a number of pods; so the share is measured, in the requests
of each side. A release is named by the pod template hash of its canary, which is Argo's own name for it.
"""

from __future__ import annotations

import json
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from interlock.core.errors import UsageError, WorldError
from interlock.core.verdict import Verdict
from interlock.roll.argo.answers import Ask, Result
from interlock.roll.argo.declared import HASH
from interlock.roll.decision import Action, decide
from interlock.roll.judge import Arm, Counts, Judge, Tick
from interlock.roll.plan import ShareFrom
from interlock.roll.shares import Shares
from interlock.roll.sources import Reading
from interlock.roll.sources.prometheus import Prometheus

if TYPE_CHECKING:
    from pathlib import Path

    from interlock.roll.argo.declared import Argo
    from interlock.roll.judge import Judgement
    from interlock.roll.plan import Plan

_REQUESTS: Final = "requests"
_VERSION: Final = 1
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # It goes into queries and file names.
_FORGOTTEN_S: Final = 900.0  # A release of which nobody asks any more is over.


@dataclass(slots=True)
class Release:
    """One release that is under way."""

    canary: str
    stable: str
    judge: Judge
    step: int = 0
    before: dict[str, list[float]] = field(default_factory=dict[str, "list[float]"])  # counters: baseline, canary
    asked_s: float = 0.0
    served_s: float = 0.0  # when requests were last counted


class Engine:
    """All releases of one project.

    Args:
        argo: What is declared.
        folder: Where releases are kept.
    """

    def __init__(self, argo: Argo, folder: Path) -> None:
        hold_s = max(argo.plan.stale_hold_s, 3 * argo.interval_s)
        self._argo = argo
        # Counters do not say when anybody was exposed: there is nothing to wait for.
        metrics = tuple(replace(metric, settles_s=0.0) for metric in argo.plan.metrics)
        self._plan: Plan = replace(argo.plan, metrics=metrics, share_from=ShareFrom.REQUESTS, stale_hold_s=hold_s)
        self._folder = folder
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._releases = {release.canary: release for path in folder.glob("*.json") if (release := self._loaded(path))}

    def answer(self, ask: Ask, canary: str, stable: str, step: int | None, now_s: float) -> dict[str, Any]:
        """What Argo is told.

        Raises:
            UsageError: If it asks about what cannot be.
        """
        for name in (canary, stable):
            if not _NAME.fullmatch(name):
                raise UsageError(f"a pod template hash {name!r}; expected small letters and digits")  # noqa: EM102 - told to Argo.
        if (step is None) != (ask is Ask.WATCH) or (step is not None and not 0 <= step < len(self._plan.steps)):
            raise UsageError(f"step {step!r} to {ask}; expected one of the plan's {len(self._plan.steps)}")  # noqa: EM102 - likewise.
        with self._lock:
            release = self._release(canary, stable, now_s)
            release.asked_s = now_s
            if step is not None and step != release.step:
                release.step = step
                release.judge.begin_step(step, now_s)
            judgement = release.judge.judgement(now_s)
            self._keep(release)
        return self._told(ask, release, judgement, now_s)

    def look(self, now_s: float) -> None:
        """Hears from Prometheus what is new of each release. What it does not say is not judged, and grows stale."""
        with self._lock:
            releases = [one for one in self._releases.values() if now_s - one.asked_s < _FORGOTTEN_S]
        for release in releases:
            # Silence is told by the judge: it holds, and aborts when that lasts. Whoever looks must outlive a full disk, too.
            with suppress(WorldError, OSError):
                read = self._read(release)
                with self._lock:
                    self._heard(release, read, now_s)
                    self._keep(release)

    def _release(self, canary: str, stable: str, now_s: float) -> Release:
        """The release that is asked about. One of which nobody asked for long is over: the same version may come again."""
        known = self._releases.get(canary)
        if known is None or known.stable != stable or now_s - known.asked_s >= _FORGOTTEN_S:
            judge = Judge(self._plan)
            judge.begin_step(0, now_s)
            self._releases[canary] = Release(canary, stable, judge)
        return self._releases[canary]

    def _told(self, ask: Ask, release: Release, judgement: Judgement, now_s: float) -> dict[str, Any]:
        blind = self._blind(release, now_s)
        decision = decide(self._plan, release.step, self._plan.steps[release.step].bake_s, judgement)
        result = Result.UNDECIDED
        if judgement.verdict is Verdict.FAIL:
            result = Result.REGRESSED
        elif decision.action is Action.PROMOTE and ask is Ask.PROMOTE and not blind:
            result = Result.HEALTHY
        return {
            "version": _VERSION,
            "result": result,
            "reason": decision.reason if judgement.verdict is Verdict.FAIL else blind or decision.reason,
            "evidence": round(judgement.evidence, 6),
            "needed": judgement.needed,
            "users_harmed": judgement.harmed_users,
            "users_exposed": judgement.exposed_users,
            "step": release.step,
        }

    def _blind(self, release: Release, now_s: float) -> str:
        """Why nothing that was counted says that all is well, whatever it is."""
        if untold := [metric.name for metric in self._plan.metrics if metric.name not in release.before]:
            return f"Prometheus has told nothing of {', '.join(untold)} on either side: is the query right?"
        idle_s = now_s - release.served_s
        return f"nobody has come for {idle_s:.0f} s" if idle_s > self._plan.stale_abort_s else ""

    def _read(self, release: Release) -> dict[str, list[float | None]]:
        """The counters of both sides, as they are now."""
        queries = {_REQUESTS: self._argo.requests, **{query.metric: query.events for query in self._argo.queries}}
        sides = ((Arm.BASELINE, release.stable), (Arm.CANARY, release.canary))
        gauges = {(name, arm): query.replace(HASH, value) for name, query in queries.items() for arm, value in sides}
        prometheus = Prometheus(url=self._argo.prometheus_url, gauges=gauges, counters={}, shares=Shares([]))
        read = {(heard.name, heard.arm): heard.value for heard in prometheus.poll() if isinstance(heard, Reading)}
        return {name: [read.get((name, arm)) for arm, _ in sides] for name in queries}

    def _heard(self, release: Release, read: dict[str, list[float | None]], now_s: float) -> None:
        """Judges what was counted since the last time. A counter that fell began anew: what it counted before is not known."""
        read = {name: _begun(values, read[_REQUESTS], release.before.get(name, [0.0, 0.0])) for name, values in read.items()}
        added = {name: _added(release.before.get(name), values) for name, values in read.items()}
        for name, values in read.items():
            if None not in values:
                release.before[name] = [value for value in values if value is not None]
        requests = added.pop(_REQUESTS)
        if requests is None:
            return
        if any(requests):
            release.served_s = now_s
        counts = {name: (Counts(*pair),) for name, pair in added.items() if pair is not None}
        release.judge.observe(Tick(now_s, *requests, counts))

    def _keep(self, release: Release) -> None:
        state = {
            "version": _VERSION,
            "canary": release.canary,
            "stable": release.stable,
            "step": release.step,
            "before": release.before,
            "asked_s": release.asked_s,
            "served_s": release.served_s,
            "judge": release.judge.to_json(),
        }
        path = self._folder / f"{release.canary}.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(state), encoding="utf-8")
        part.replace(path)

    def _loaded(self, path: Path) -> Release | None:
        """A release as it was kept; none if it is of another plan, which begins anew then."""
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            judge = Judge.from_json(self._plan, state["judge"])
            times = state["asked_s"], state["served_s"]
            return Release(state["canary"], state["stable"], judge, state["step"], state["before"], *times)
        except (UsageError, ValueError, KeyError, TypeError):
            return None


def _begun(values: list[float | None], requests: list[float | None], before: list[float]) -> list[float | None]:
    """The counters of both sides; 0 for one that has not begun, since its first event is still to come.

    So it is if that side is there, the same query has an answer for the other one, and it never had one for this.
    """
    if values == [None, None]:
        return values
    sides = zip(values, requests, before, strict=True)
    return [0.0 if value is None and served is not None and not had else value for value, served, had in sides]


def _added(before: list[float] | None, now: list[float | None]) -> tuple[int, int] | None:
    """What each side has counted since; none if that is not known of both."""
    baseline, canary = now
    if before is None or baseline is None or canary is None or baseline < before[0] or canary < before[1]:
        return None
    return round(baseline - before[0]), round(canary - before[1])


def looking(engine: Engine, interval_s: float, ends: threading.Event) -> None:
    """Looks again and again, until it is told to end."""
    while not ends.wait(interval_s):
        engine.look(time.time())
