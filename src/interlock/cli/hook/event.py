"""An event of an assistant, as it came on stdin, and what is answered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from interlock.core.errors import WorldError

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS: Final[Mapping[type[object], str]] = {
    str: "a text",
    dict: "an object",
    list: "a list",
    bool: "true or false",
    int: "a whole number",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes to stdout as JSON, and what is said on stderr beside it."""

    output: Mapping[str, Any] | None = None  # None: nothing is printed, and the assistant goes on as if we were not there
    told: str = ""


class Event:
    """The fields of an event, each read as what it must be."""

    def __init__(self, fields: Mapping[str, Any], within: str = "the event") -> None:
        self._fields = fields
        self._within = within

    @classmethod
    def read(cls, content: bytes) -> Event:
        """An event from its JSON.

        Raises WorldError if it is none.
        """
        try:
            fields: object = json.loads(content)
        except (ValueError, RecursionError) as error:
            message = f"the event on stdin is not JSON: {error}"
            raise WorldError(message) from error
        if not isinstance(fields, dict):
            message = f"the event on stdin is {type(fields).__name__}; expected a JSON object"
            raise WorldError(message)
        return cls(cast("dict[str, Any]", fields))

    def text(self, name: str, default: str | None = None) -> str:
        """A field that is a text. Raises WorldError if it is not, or is not there and has no default."""
        return cast("str", self._field(name, str, default))

    def number(self, name: str, default: int) -> int:
        """A field that is a whole number."""
        return cast("int", self._field(name, int, default))

    def flag(self, name: str) -> bool:
        """A field that is true or false; false if it is not there."""
        return cast("bool", self._field(name, bool, default=False))

    def part(self, name: str) -> Event:
        """A field that is an object."""
        return Event(cast("dict[str, Any]", self._field(name, dict, {})), f"{self._within}'s {name}")

    def parts(self, name: str) -> list[Event]:
        """A field that is a list of objects."""
        items = cast("list[Any]", self._field(name, list, []))
        return [Event({name: item}, self._within).part(name) for item in items]

    def texts(self, name: str) -> list[str]:
        """A field that is a list of texts."""
        items = cast("list[Any]", self._field(name, list, []))
        return [Event({name: item}, self._within).text(name) for item in items]

    def first_of(self, *names: str) -> str | None:
        """The first of these fields that is there, a text; None if none is."""
        return next((self.text(name) for name in names if name in self._fields), None)

    def _field(self, name: str, kind: type[object], default: object) -> object:
        value = self._fields.get(name, default)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            found = "missing" if value is None else repr(value)[:60]
            message = f"{self._within} has {name} {found}; expected {_KINDS[kind]}"
            raise WorldError(message)
        return value
