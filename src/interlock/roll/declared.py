"""What [roll] declares beside the plan: the router, the sources, and how to go forward and back.

[roll.router]
kind = "haproxy"                                    or "splitter", with its socket alone, or "flag", with its file
socket = "/run/haproxy/admin.sock"
map = "/etc/haproxy/roll.map"

[[roll.source]]
kind = "haproxy-log"
address = "/run/haproxy/roll.log"

[[roll.source]]
kind = "business"
address = "orders.jsonl"                            or 127.0.0.1:8790, to which events are posted
names = ["orders"]

[roll.rollback]
commands = ["./deploy v41"]
version_url = "https://shop.example/version"
version = "v41"
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from interlock.core.errors import nearest
from interlock.core.settings import strict
from interlock.roll.judge import Arm
from interlock.roll.listening import REQUESTS, Ear
from interlock.roll.plan import LONGEST_S, Kind, at_least
from interlock.roll.rollback import Rollback
from interlock.roll.rollout import Pace
from interlock.roll.routers.asgi import SplitterControl
from interlock.roll.routers.flag import FlagRouter
from interlock.roll.routers.haproxy import Haproxy
from interlock.roll.routers.haproxy_config import Section
from interlock.roll.sources.business import Business, Posted
from interlock.roll.sources.exposition import Exposition
from interlock.roll.sources.haproxy_counters import HaproxyCounters
from interlock.roll.sources.haproxy_log import listening
from interlock.roll.sources.prometheus import Prometheus
from interlock.roll.sources.splitter import SplitterRequests
from interlock.roll.sources.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from interlock.core.settings import Document
    from interlock.roll.plan import Plan
    from interlock.roll.routers import Router
    from interlock.roll.shares import Shares
    from interlock.roll.sources import Source

_NEEDED: Final = {"haproxy": ("socket", "map"), "splitter": ("socket",), "flag": ("file",)}
# How long a source may say nothing, in seconds, where the settings do not say it.
_SILENT_S: Final = {
    "haproxy-log": 5.0,
    "haproxy-counters": 5.0,
    "splitter": 5.0,
    "business": 300.0,
    "prometheus": 60.0,
    "metrics": 10.0,
}
_OF_REQUESTS: Final = ("haproxy-log", "haproxy-counters", "splitter")
# What is known of requests beside their number: no durations by counters, and by Prometheus not even which of them failed.
_BY_REQUESTS: Final = {Kind.FAILURES: (*_OF_REQUESTS, "business"), Kind.LATENCY: ("haproxy-log", "splitter")}
_BY_NAME: Final = {
    Kind.FAILURES: ("business", "prometheus"),
    Kind.LATENCY: ("prometheus",),
    Kind.BUSINESS: ("business", "prometheus"),
    Kind.COUNT: ("business", "prometheus"),
}


@dataclass(frozen=True, slots=True)
class RouterTable:
    """[roll.router]."""

    kind: str
    socket: str = ""
    map: str = ""
    file: str = ""
    baseline: str = "baseline"
    canary: str = "canary"
    user: str = "cookie uid"
    tick_s: float = 0.25
    lease_s: float = 15.0
    learn_s: float = 10.0
    hold_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SourceTable:
    """[[roll.source]]."""

    kind: str
    address: str = ""
    names: tuple[str, ...] = ()
    lag_s: float = 60.0
    baseline: str = ""  # Prometheus: a query for each arm.
    canary: str = ""
    at_most: float = 0.0  # A gauge of the canary that is larger ends the rollout; 0: no limit.
    silent_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PromoteTable:
    """[roll.promote]."""

    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """All of it, as it is written."""

    document: Document
    root: Path
    router: RouterTable
    sources: tuple[SourceTable, ...]
    rollback: Rollback
    promote: tuple[str, ...]

    @property
    def pace(self) -> Pace:
        """How often, and how long."""
        table = self.router
        return Pace(tick_s=table.tick_s, lease_s=table.lease_s, learn_s=table.learn_s, hold_s=table.hold_s)

    def section(self) -> Section:
        """What HAProxy is configured with."""
        log = next((source.address for source in self.sources if source.kind == "haproxy-log"), "127.0.0.1:5140")
        table = self.router
        return Section(
            map=self._path(table.map), log=self._address(log), user=table.user, baseline=table.baseline, canary=table.canary
        )

    def open_router(self) -> Router:
        """The router."""
        match self.router.kind:
            case "splitter":
                return SplitterControl(self._path(self.router.socket))
            case "flag":
                return FlagRouter(self._path(self.router.file))
            case _:
                return self._haproxy()

    def open_ears(self, plan: Plan, shares: Shares, salt: str) -> list[Ear]:
        """All sources, opened. Raises UsageError if a metric has none."""
        self._checked(plan)
        return [self._ear(table, shares, salt) for table in self.sources]

    def _checked(self, plan: Plan) -> None:
        """A metric of which nobody tells would never look bad."""
        tellers = {name: source.kind for source in self.sources if not source.at_most for name in source.names}
        of_requests = {source.kind for source in self.sources if source.kind in _OF_REQUESTS}
        if REQUESTS in tellers:
            of_requests.add(tellers[REQUESTS])
        known = [REQUESTS, *(metric.name for metric in plan.metrics)]
        if wrong := next((name for name in tellers if name not in known), None):
            raise self.document.fail(
                wrong, f"a [[roll.source]] tells of {wrong!r}, which is no metric; {nearest(wrong, known)}"
            )
        if len(of_requests) != 1:
            message = (
                f"{' and '.join(sorted(of_requests)) or 'no [[roll.source]]'} tells of requests; "
                "expected one of kind haproxy-log, haproxy-counters or splitter, or business events called 'requests'"
            )
            raise self.document.fail("source", message)
        for metric in plan.metrics:
            by_name, by_requests = _BY_NAME[metric.kind], _BY_REQUESTS.get(metric.kind, ())
            teller = tellers.get(metric.name)
            if not (teller in by_name if teller else of_requests & set(by_requests)):
                expected = f"{' or '.join(by_name)} with it among its names" + "".join(f", or {kind}" for kind in by_requests)
                message = f"no [[roll.source]] tells of {metric.name!r}, of kind {metric.kind}; expected one of kind {expected}"
                raise self.document.fail(metric.name, message)

    def _ear(self, table: SourceTable, shares: Shares, salt: str) -> Ear:
        limits = dict.fromkeys(table.names, table.at_most) if table.at_most else {}
        return Ear(
            source=self._source(table, shares, salt),
            silent_s=table.silent_s or _SILENT_S[table.kind],
            names=table.names if not limits else (),
            at_most=limits,
        )

    def _source(self, table: SourceTable, shares: Shares, salt: str) -> Source:
        name = next(iter(table.names), "")
        router = self.router
        open_by_kind: dict[str, Callable[[], Source]] = {
            "haproxy-log": lambda: listening(
                self._address(table.address), baseline=router.baseline, canary=router.canary, haproxy=self._haproxy()
            ),
            "haproxy-counters": lambda: HaproxyCounters(self._haproxy(), baseline=router.baseline, canary=router.canary),
            "splitter": lambda: SplitterRequests(SplitterControl(self._path(router.socket))),
            "business": lambda: Business(self._lines(table.address), salt=salt, lag_s=table.lag_s),
            "prometheus": lambda: _prometheus(table, name, shares),
            "metrics": lambda: Exposition(table.address, name),
        }
        return open_by_kind[table.kind]()

    def _lines(self, address: str) -> Tail | Posted:
        host, _, port = address.rpartition(":")
        return Posted(int(port), host) if port.isdecimal() and host else Tail(self._path(address))

    def _haproxy(self) -> Haproxy:
        return Haproxy(socket=self._path(self.router.socket), map=self._path(self.router.map))

    def _path(self, name: str) -> Path:
        return self.root / name

    def _address(self, address: str) -> str:
        return address if address.rpartition(":")[2].isdecimal() else str(self._path(address))


def _prometheus(table: SourceTable, name: str, shares: Shares) -> Prometheus:
    if table.at_most:  # The baseline is not asked: its answer would be news, though nobody hears of the canary.
        return Prometheus(url=table.address, gauges={(name, Arm.CANARY): table.canary}, counters={}, shares=shares)
    counters = {(name, Arm.BASELINE): table.baseline, (name, Arm.CANARY): table.canary}
    return Prometheus(url=table.address, gauges={}, counters=counters, shares=shares)


def load_declared(document: Document, root: Path) -> Declared:
    """What the settings declare. Raises UsageError, with the line, for what does not make sense."""
    roll: dict[str, Any] = document.tables.get("roll", {})
    if "router" not in roll:
        raise document.fail("roll", "there is no [roll.router]; expected one, with kind and socket")
    router = strict(document, RouterTable, roll["router"], "[roll.router]")
    _one_of(document, "kind", router.kind, tuple(_NEEDED))
    for key in _NEEDED[router.kind]:
        if not getattr(router, key):
            raise document.fail("router", f"[roll.router] has no {key!r}, which a router of kind {router.kind!r} needs")
    at_least(document, "tick_s", router.tick_s, 0.01)
    at_least(document, "lease_s", router.lease_s, 1.0)
    if router.tick_s > router.lease_s / 3:
        message = f"tick_s is {router.tick_s:g}; expected a third of lease_s at most, {router.lease_s / 3:g}"
        raise document.fail("tick_s", message)
    at_least(document, "learn_s", router.learn_s, 0.0)
    at_least(document, "hold_s", router.hold_s, 0.0)
    return Declared(
        document=document,
        root=root,
        router=router,
        sources=tuple(_source_table(document, item) for item in _listed(document, roll.get("source", []))),
        rollback=_rollback(document, roll.get("rollback", {})),
        promote=_commands(document, strict(document, PromoteTable, roll.get("promote", {}), "[roll.promote]").commands),
    )


def _source_table(document: Document, item: object) -> SourceTable:
    table = strict(document, SourceTable, item, "[[roll.source]]")
    _one_of(document, "kind", table.kind, tuple(_SILENT_S))
    if table.kind not in {"haproxy-counters", "splitter"} and not table.address:
        raise document.fail("source", f"a [[roll.source]] of kind {table.kind!r} has no 'address', which it needs")
    if table.kind in {"business", "prometheus", "metrics"} and not table.names:
        raise document.fail("source", f"a [[roll.source]] of kind {table.kind!r} has no 'names'; expected what it tells of")
    if table.kind in {"prometheus", "metrics"} and len(table.names) != 1:
        raise document.fail("names", f"names is {', '.join(table.names)}; expected one, for one query of each arm")
    if table.kind in _OF_REQUESTS and table.names:
        message = f"a [[roll.source]] of kind {table.kind!r} has names; it tells of requests, and of nothing else"
        raise document.fail("names", message)
    if table.kind == "metrics" and not table.at_most:
        raise document.fail(
            "source", "a [[roll.source]] of kind 'metrics' has no 'at_most'; a gauge is compared with nothing else"
        )
    queries = (table.canary,) if table.at_most else (table.baseline, table.canary)
    if table.kind == "prometheus" and not all(queries):
        raise document.fail("source", f"the [[roll.source]] of {table.names[0]!r} lacks a query; expected baseline and canary")
    for key, value in (("silent_s", table.silent_s), ("lag_s", table.lag_s)):
        at_least(document, key, value, 0.0)
        if value > LONGEST_S:
            raise document.fail(key, f"{key} is {value:g}; expected a day, {LONGEST_S:g}, at most")
    return table


def _rollback(document: Document, item: object) -> Rollback:
    rollback = strict(document, Rollback, item, "[roll.rollback]")
    _commands(document, rollback.commands)
    at_least(document, "command_timeout_s", rollback.command_timeout_s, 1.0)
    at_least(document, "recover_s", rollback.recover_s, 0.0)
    return rollback


def _listed(document: Document, found: object) -> list[object]:
    if not isinstance(found, list):
        raise document.fail("source", f"source in [roll] is {found!r}; expected [[roll.source]], one table for each")
    return cast("list[object]", found)


def _commands(document: Document, commands: tuple[str, ...]) -> tuple[str, ...]:
    """The commands, if each can be run: that one cannot should not be found out in the middle of an abort."""
    for command in commands:
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise document.fail("commands", f"the command {command!r} cannot be taken apart: {error}") from error
        if not words:
            raise document.fail("commands", "an empty command; expected a program and its arguments")
    return commands


def _one_of(document: Document, key: str, found: str, known: tuple[str, ...]) -> None:
    if found not in known:
        message = f"{key} is {found!r}; {nearest(found, known)}"
        raise document.fail(key, message)
