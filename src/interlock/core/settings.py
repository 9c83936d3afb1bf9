"""Reads settings strictly: an unknown key is an error that names the nearest right one, never a silence.

[check]                        in interlock.toml, or [tool.interlock.check] in pyproject.toml
exclude = [{ path = "vendor/**", reason = "not ours" }]
"""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, get_type_hints

from interlock.core.errors import UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import DataclassInstance

    Read = Callable[[str], bytes | None]

T = TypeVar("T", bound="DataclassInstance")

FILES: Final = ("interlock.toml", "pyproject.toml")
_WANTED: Final = {
    str(str): "a text",
    str(int): "a whole number",
    str(float): "a number",
    str(bool): "true or false",
    str(tuple[str, ...]): "a list of texts",
    str(tuple[float, ...]): "a list of numbers",
    str(list[object]): "a list of tables",
}
SECTIONS: Final = (
    *("alerts", "canary", "check", "deployments", "drill", "environment", "evidence", "feature"),
    *("hazards", "migrations", "must_test", "roll", "rollback", "signer", "tests"),
)


@dataclass(frozen=True, slots=True)
class Document:
    """A settings file as it was read: its tables, and its text to find lines in."""

    name: str
    text: str
    tables: dict[str, Any]

    def where(self, key: str) -> str:
        """`file:line` of a key, as far as the text tells."""
        pattern = re.compile(rf"^\s*(\[+[\w.\"]*\b)?{re.escape(key)}\b")
        lines = (number for number, line in enumerate(self.text.splitlines(), start=1) if pattern.match(line))
        line = next(lines, 0)
        return f"{self.name}:{line}" if line else self.name

    def fail(self, key: str, message: str) -> UsageError:
        """The error that says where a setting is wrong, and how."""
        return UsageError(f"{self.where(key)}: {message}")


def load(read: Read) -> Document:
    """The settings of a project. `read` gives a file's content by its name, or None if it is not there.

    Raises UsageError if both files hold settings, if one is not TOML, or if there is an unknown section.
    """
    documents = [document for name in FILES if (content := read(name)) is not None and (document := _parsed(name, content))]
    if len(documents) > 1:
        message = f"settings are in {documents[0].name} and in {documents[1].name}; expected one of them"
        raise UsageError(message)
    document = documents[0] if documents else Document(FILES[0], "", {})
    for name in document.tables:
        if name not in SECTIONS:
            raise document.fail(name, f"unknown section {name!r}; {nearest(name, SECTIONS)}")
    return document


def _parsed(name: str, content: bytes) -> Document | None:
    """The settings in one file; None if it has none."""
    if name != FILES[0] and b"interlock" not in content:
        return None
    import tomllib  # noqa: PLC0415 - many projects have no settings to read.

    try:
        text = content.decode().removeprefix("\ufeff")
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"{name}: is not TOML: {error}"
        raise UsageError(message) from error
    if name == FILES[0]:
        return Document(name, text, tables)
    tool: object = tables.get("tool")
    own = cast("dict[str, object]", tool).get("interlock") if isinstance(tool, dict) else None
    if own is None:
        return None
    if not isinstance(own, dict):
        raise Document(name, text, {}).fail("interlock", f"tool.interlock is {_shown(own)}; expected a table")
    return Document(name, text, cast("dict[str, Any]", own))


def tables(document: Document, name: str) -> list[object]:
    """The tables of an array such as [[feature]]; none if it is not there.

    Raises UsageError if it is something else.
    """
    found: object = document.tables.get(name, [])
    if not isinstance(found, list):
        raise document.fail(name, f"{name} is {_shown(found)}; expected [[{name}]], one table for each")
    return cast("list[object]", found)


def strict(document: Document, kind: type[T], table: object, what: str) -> T:
    """A dataclass of settings from a table, with every key and type checked.

    Raises UsageError for an unknown key, a missing one, or a value of the wrong type.
    """
    if not isinstance(table, dict):
        raise document.fail(what, f"{what} is {_shown(table)}; expected a table")
    values = cast("dict[str, Any]", table)
    known = {field.name: field for field in fields(kind)}
    for key in values:
        if key not in known:
            raise document.fail(key, f"unknown key {key!r} in {what}; {nearest(key, known)}")
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise document.fail(what, f"{what} has no {name!r}, which it needs")
    hints = get_type_hints(kind)
    typed: dict[str, Any] = {key: _typed(document, hints[key], key, value, what) for key, value in values.items()}
    return kind(**typed)


def _typed(document: Document, hint: object, key: str, value: object, what: str) -> object:
    """One value, if it is of the type that the settings want."""
    items = _items(value)
    fits = {
        "a text": isinstance(value, str),
        "a whole number": isinstance(value, int) and not isinstance(value, bool),
        "a number": _is_number(value),
        "true or false": isinstance(value, bool),
        "a list of texts": items is not None and all(isinstance(item, str) for item in items),
        "a list of numbers": items is not None and all(_is_number(item) for item in items),
        "a list of tables": items is not None,
    }
    wanted = _WANTED[str(hint)]
    if not fits[wanted]:
        raise document.fail(key, f"{key} in {what} is {_shown(value)}; expected {wanted}")
    return tuple(items) if items is not None and wanted in {"a list of texts", "a list of numbers"} else value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _items(value: object) -> list[object] | None:
    """The items of a list; None if it is something else."""
    return cast("list[object]", value) if isinstance(value, list) else None


def _shown(value: object) -> str:
    text = str(value)
    return f"{text!r}" if len(text) <= 40 else f"{text[:40]!r}..."  # noqa: PLR2004 - fits on a line.
