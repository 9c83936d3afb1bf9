"""The team's own files: rules of Prometheus and routes of Alertmanager, as far as they must be read here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

from interlock.core.errors import UsageError
from interlock.core.yaml_files import documents

if TYPE_CHECKING:
    from collections.abc import Iterator

_USUAL_WAIT_S: Final = 30.0  # Alertmanager's own, where nothing else is said.
_PART: Final = re.compile(r"(\d+)(ms|[ywdhms])")
_SECONDS: Final = {"y": 31_536_000.0, "w": 604_800.0, "d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def duration_s(text: str) -> float:
    """A duration as Prometheus writes it: `1d2h`, `30s`."""
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def alert_names(files: dict[str, bytes]) -> list[str]:
    """The alerts in some files of rules, each once.

    Raises:
        UsageError: If a file is not YAML, or holds no groups of rules.
    """
    found: dict[str, None] = {}
    for name, content in files.items():
        for group in _listed(_loaded(name, content), "groups", name):
            found.update({str(rule["alert"]): None for rule in _listed(group, "rules", name) if "alert" in rule})
    return list(found)


def delays_s(files: dict[str, bytes]) -> dict[str, float]:
    """By how much an alert may be later than promtool says, which evaluates every group of rules as often as it is asked to.

    A group that says how often it is evaluated may just have been; so may one that records what the alert looks at. And `for`
    is over only when the next evaluation has seen it.
    """
    groups = [group for name, content in files.items() for group in _listed(_loaded(name, content), "groups", name)]
    timed = [
        (duration_s(str(group.get("interval") or "")), rule) for group in groups for rule in _listed(group, "rules", "rules")
    ]
    recorded = [(every_s, str(rule["record"])) for every_s, rule in timed if "record" in rule]
    found: dict[str, float] = {}
    for every_s, rule in timed:
        looked_at = max((other_s for other_s, name in recorded if name in str(rule.get("expr"))), default=0.0)
        name = str(rule.get("alert"))
        found[name] = max(found.get(name, 0.0), every_s * (2 if rule.get("for") else 1) + looked_at)
    return found


def idle(config: bytes) -> set[str]:
    """The receivers that tell nobody: without any integration."""
    receivers = _listed(_loaded("alertmanager", config), "receivers", "alertmanager")
    return {
        str(receiver.get("name"))
        for receiver in receivers
        if not any(value for key, value in receiver.items() if key.endswith("_configs"))
    }


def timed(config: bytes) -> set[str]:
    """The receivers to which a route leads that is muted at times."""
    document = _loaded("alertmanager", config)
    return {name for name, _, is_timed in _routes(document.get("route", {}), "", _USUAL_WAIT_S) if is_timed}


def longest_wait_s(config: bytes, receiver: str) -> float:
    """How long Alertmanager may gather alerts before it tells a receiver (`group_wait`), of all routes that lead there."""
    document = _loaded("alertmanager", config)
    waits = [wait_s for name, wait_s, _ in _routes(document.get("route", {}), "", _USUAL_WAIT_S) if name == receiver]
    return max(waits, default=_USUAL_WAIT_S)


def _routes(route: dict[str, Any], receiver: str, wait_s: float) -> Iterator[tuple[str, float, bool]]:
    """The receiver and the wait of a route and of all below it, and whether it is muted at times.

    Receiver and wait it takes from the one above, if it does not say them.
    """
    receiver = str(route.get("receiver", receiver))
    wait_s = duration_s(str(route["group_wait"])) if "group_wait" in route else wait_s
    yield receiver, wait_s, bool(route.get("mute_time_intervals") or route.get("active_time_intervals"))
    for below in _listed(route, "routes", "alertmanager"):
        yield from _routes(below, receiver, wait_s)


def _loaded(name: str, content: bytes) -> dict[str, Any]:
    """The one document of a file; nothing, if it is empty."""
    found = documents(name, content)
    return found[0] if found else {}


def _listed(document: dict[str, Any], key: str, name: str) -> list[dict[str, Any]]:
    value: object = document.get(key, [])
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    if not all(isinstance(item, dict) for item in items):
        message = f"{name}: {key} is not a list of mappings, which is expected there"
        raise UsageError(message)
    return cast("list[dict[str, Any]]", items)
