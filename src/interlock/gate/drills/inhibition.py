"""Which alerts Alertmanager holds back because of others: its `inhibit_rules`, tried on all that rings at a moment.

Source: https://prometheus.io/docs/alerting/latest/configuration/#inhibit_rule
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, cast

from interlock.core.errors import UsageError
from interlock.core.yaml_files import documents, mapping, mappings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Labels = Mapping[str, str]

_ONE: Final = r"""\s*(?P<name>[a-zA-Z_:][\w:]*)\s*(?P<how>=~|!~|!=|=)\s*(?P<value>"(?:[^"\\]|\\.)*"|[^\s,"{}]*)\s*"""
_MATCHER: Final = re.compile(_ONE)


@dataclass(frozen=True, slots=True)
class _Matcher:
    name: str
    how: str
    value: str

    def fits(self, labels: Labels) -> bool:
        found = labels.get(self.name, "")
        is_like = re.fullmatch(self.value, found) is not None if "~" in self.how else found == self.value
        return is_like != self.how.startswith("!")


@dataclass(frozen=True, slots=True)
class Inhibition:
    """One rule: what holds back, what is held back, and which labels they must share."""

    sources: tuple[_Matcher, ...]
    targets: tuple[_Matcher, ...]
    equal: tuple[str, ...]

    @classmethod
    def all_of(cls, config: bytes) -> list[Self]:
        """Those of a configuration.

        Raises:
            UsageError: If one cannot be read.
        """
        rules = [one for document in documents("alertmanager", config) for one in mappings(document, "inhibit_rules")]
        return [cls(_matchers(one, "source"), _matchers(one, "target"), _names(one)) for one in rules]

    def holds_back(self, labels: Labels, ringing: Iterable[Labels]) -> bool:
        """Whether an alert is held back while others ring. One that is on both sides holds back nothing that is as well."""
        if not _fit(self.targets, labels):
            return False
        is_both = _fit(self.sources, labels)
        return any(
            _fit(self.sources, other)
            and not (is_both and _fit(self.targets, other))
            and all(other.get(name, "") == labels.get(name, "") for name in self.equal)
            for other in ringing
        )


def _fit(matchers: tuple[_Matcher, ...], labels: Labels) -> bool:
    return all(matcher.fits(labels) for matcher in matchers)


def _names(rule: dict[str, Any]) -> tuple[str, ...]:
    value: object = rule.get("equal")
    return tuple(map(str, cast("list[object]", value))) if isinstance(value, list) else ()


def _matchers(rule: dict[str, Any], side: str) -> tuple[_Matcher, ...]:
    """The matchers of one side, in each of the three forms that there are."""
    found = [_Matcher(name, "=", str(value)) for name, value in mapping(rule, f"{side}_match").items()]
    found += [_Matcher(name, "=~", str(value)) for name, value in mapping(rule, f"{side}_match_re").items()]
    value: object = rule.get(f"{side}_matchers") or []
    texts = cast("list[object]", value) if isinstance(value, list) else [value]
    return (*found, *(matcher for text in texts for matcher in _written(str(text))))


def _written(text: str) -> Iterator[_Matcher]:
    """`{severity="page", team=~"a|b"}`, with or without the braces and the quotes."""
    inner = text.strip().removeprefix("{").removesuffix("}").rstrip().removesuffix(",")
    if inner and not re.fullmatch(rf"{_MATCHER.pattern}(?:,{re.sub(r'[?]P<[a-z]+>', '', _ONE)})*", inner):
        message = f"alertmanager: the matcher {text!r} of an inhibit rule cannot be read"
        raise UsageError(message)
    for one in _MATCHER.finditer(inner):
        value = one["value"]
        yield _Matcher(one["name"], one["how"], json.loads(value) if value.startswith('"') else value)
