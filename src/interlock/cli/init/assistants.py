"""Entries in an assistant's own settings that make it ask `interlock hook`. What is there already stays as it is.

Claude Code: `.claude/settings.json`, https://code.claude.com/docs/en/hooks. Cursor: `.cursor/hooks.json`,
https://cursor.com/docs/agent/hooks.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, cast

from interlock.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TIMEOUT_S: Final = 30
_CLAUDE: Final = ".claude/settings.json"
_CURSOR: Final = ".cursor/hooks.json"
_COMMANDS: Final = {_CLAUDE: "interlock hook claude", _CURSOR: "interlock hook cursor"}
_MATCHED: Final = {"PreToolUse": "Edit|MultiEdit|Write|Bash|PowerShell", "Stop": None}
_CURSOR_MATCHED: Final = {"preToolUse": "Write", "postToolUse": "Write", "stop": None}


def claude(root: Path) -> str:
    """Makes Claude Code ask, in the project at this root. Says what was done.

    Raises UsageError if its settings are there and cannot be added to.
    """
    handler = {"type": "command", "command": _COMMANDS[_CLAUDE], "timeout": _TIMEOUT_S}
    groups = {event: {**({"matcher": matcher} if matcher else {}), "hooks": [handler]} for event, matcher in _MATCHED.items()}
    return _added(root, _CLAUDE, {}, groups)


def cursor(root: Path) -> str:
    """Makes Cursor ask, in the project at this root. Says what was done.

    Raises UsageError if its settings are there and cannot be added to.
    """
    entry = {"command": _COMMANDS[_CURSOR], "timeout": _TIMEOUT_S}
    entries = {event: {**entry, **({"matcher": matcher} if matcher else {})} for event, matcher in _CURSOR_MATCHED.items()}
    return _added(root, _CURSOR, {"version": 1}, entries)


def _added(root: Path, name: str, empty: dict[str, Any], entries: dict[str, dict[str, Any]]) -> str:
    """Adds each entry to the list of its event, unless our command is in that list."""
    place = root / name
    settings = _read(place, name, entries) if place.exists() else empty
    hooks = _of(settings, "hooks", {}, name, entries)
    missing = [event for event in entries if _COMMANDS[name] not in _commands(_of(hooks, event, [], name, entries))]
    if not missing:
        return f"{name}: nothing to add, {_COMMANDS[name]} is there"
    for event in missing:
        cast("list[Any]", hooks.setdefault(event, [])).append(entries[event])
    settings["hooks"] = hooks
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return f"{name}: {_COMMANDS[name]} is asked at {', '.join(missing)}"


def _read(place: Path, name: str, entries: dict[str, Any]) -> dict[str, Any]:
    try:
        settings: object = json.loads(place.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise _refused(name, f"cannot be read as JSON: {error}", entries) from error
    if not isinstance(settings, dict):
        raise _refused(name, f"holds {type(settings).__name__}; expected an object", entries)
    return cast("dict[str, Any]", settings)


def _of(around: dict[str, Any], key: str, empty: Any, name: str, entries: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON.
    """A value of the kind that `empty` is; that one if there is none."""
    value = around.get(key, empty)
    if not isinstance(value, type(empty)):
        raise _refused(name, f"{key} is {str(value)[:40]!r}; expected {type(empty).__name__}", entries)
    return value


def _refused(name: str, why: str, entries: dict[str, Any]) -> UsageError:
    """Nothing is written, and what would have been is told."""
    shown = json.dumps({"hooks": {event: [entry] for event, entry in entries.items()}}, indent=2)
    return UsageError(f"{name}: {why}; nothing was written. These are the entries, to be added by hand:\n{shown}")


def _commands(value: object) -> Iterator[str]:
    """Every command in a list of entries, or of groups of entries."""
    if isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _commands(item)
    elif isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        if isinstance(fields.get("command"), str):
            yield str(fields["command"])
        yield from _commands(fields.get("hooks"))
