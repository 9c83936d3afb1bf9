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


def longest_wait_s(config: bytes, receiver: str) -> float:
    """How long Alertmanager may gather alerts before it tells a receiver (`group_wait`), of all routes that lead there."""
    document = _loaded("alertmanager", config)
    waits = [wait_s for name, wait_s in _routes(document.get("route", {}), "", _USUAL_WAIT_S) if name == receiver]
    return max(waits, default=_USUAL_WAIT_S)


def _routes(route: dict[str, Any], receiver: str, wait_s: float) -> Iterator[tuple[str, float]]:
    """The receiver and the wait of a route and of all below it; what a route does not say, it takes from the one above."""
    receiver = str(route.get("receiver", receiver))
    wait_s = duration_s(str(route["group_wait"])) if "group_wait" in route else wait_s
    yield receiver, wait_s
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
