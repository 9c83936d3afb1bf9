"""Holds what a command prints as JSON against docs/json.md: no field that is not told there, none missing that is."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any, cast

_PAGE = Path(__file__).resolve().parent.parent / "docs" / "json.md"
_ROW = re.compile(r"^\| (?P<fields>`.*?) \| .*\|$", re.MULTILINE)


@cache
def _fields(command: str) -> dict[str, dict[str, bool]]:
    """For each object of a document, its keys, and whether each is always there. The top of a document is the empty path."""
    text = _PAGE.read_text(encoding="utf-8")
    assert f"\n## {command}\n" in text, f"{_PAGE.name} has no section about {command}"
    section = text.split(f"\n## {command}\n", 1)[1].split("\n## ", 1)[0]
    found: dict[str, dict[str, bool]] = defaultdict(dict)
    found[""]["version"] = True
    for row in _ROW.finditer(section):
        for field in re.findall(r"`([^`]+)`", row["fields"]):
            path = ""
            for key in field.split("."):
                name = key.rstrip("?").removesuffix("[]")
                found[path].setdefault(name, not key.endswith("?"))
                path = f"{path}.{key.rstrip('?')}".lstrip(".")
    return found


def disagreements(command: str, document: object) -> list[str]:
    """Where a document is other than the page says, a line each."""
    return _compared(_fields(command), document, "")


def _compared(fields: dict[str, dict[str, bool]], value: object, path: str) -> list[str]:
    if isinstance(value, list):
        items = cast("list[object]", value)
        return list(dict.fromkeys(line for item in items for line in _compared(fields, item, f"{path}[]")))
    if not isinstance(value, dict) or (path and path not in fields):
        return []
    table, told = cast("dict[str, Any]", value), fields[path]
    if "*" in told:
        return []
    wrong = [f"{path or 'the top'} has {key!r}, which is not told" for key in table if key not in told]
    wrong += [
        f"{path or 'the top'} has no {key!r}, which is told" for key, is_sure in told.items() if is_sure and key not in table
    ]
    return wrong + [line for key, inner in table.items() for line in _compared(fields, inner, f"{path}.{key}".lstrip("."))]
