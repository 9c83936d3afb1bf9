"""Marks of assistants in trace files: who wrote which lines, as the tool that wrote them recorded it.

The form is agent-trace 0.1.0 (an RFC of January 2026), one JSON record a line. It leaves open where records are kept; the file
is that of its reference implementation. A record counts if the change brings it, or if it was made at one of the change's
commits, and if it is about a file that the change touches. It is a lower bound: that a person wrote something is believed of
nobody, and what cannot be read says nothing.

Source: https://github.com/cursor/agent-trace
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, cast

from interlock.gate.reviews.provenance import Found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.gate.change import Change

FILE: Final = ".agent-trace/traces.jsonl"
_OF_ASSISTANTS: Final = ("ai", "mixed")


def traced(change: Change) -> list[Found]:
    """The marks in the trace file of the change, and in that of the work tree; of each file and tool the first."""
    committed = change.repository.contents(change.head, [FILE]).get(FILE, b"").splitlines()
    known = set(change.repository.contents(change.base, [FILE]).get(FILE, b"").splitlines())
    place = change.repository.root / FILE
    local = place.read_bytes().splitlines() if place.is_file() else []
    commits = {change.start, *(commit.name for commit in change.commits)}  # A tool records before it commits.
    brought = [record for line in committed if line not in known for record in _records(line)]
    made_here = [record for line in local for record in _records(line) if _revision(record) in commits]
    paths = set(change.paths)
    return list(dict.fromkeys(found for record in (*brought, *made_here) for found in _found(record) if found.place in paths))


def _records(line: bytes) -> Iterator[dict[str, Any]]:
    try:
        record: object = json.loads(line)
    except (ValueError, RecursionError):
        return
    if isinstance(record, dict):
        yield cast("dict[str, Any]", record)


def _found(record: dict[str, Any]) -> Iterator[Found]:
    """The files of a record in which an assistant wrote something."""
    name = _table(record.get("tool")).get("name")
    for file in _tables(record.get("files")):
        for conversation in _tables(file.get("conversations")):
            for contributor in _contributors(conversation):
                if contributor.get("type") in _OF_ASSISTANTS:
                    model = contributor.get("model_id")
                    told = f"lines are {contributor['type']} by {FILE}" + (f", of {model}" if model else "")
                    yield Found(str(file.get("path")), str(name or model or "an assistant"), told)


def _contributors(conversation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Who wrote the ranges of a conversation: what is said of a range goes before what is said of all of them."""
    common = _table(conversation.get("contributor"))
    ranges = _tables(conversation.get("ranges"))
    yield from (_table(one.get("contributor")) or common for one in ranges)
    if not ranges:
        yield common


def _revision(record: dict[str, Any]) -> str:
    return str(_table(record.get("vcs")).get("revision", ""))


def _table(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _tables(value: object) -> list[dict[str, Any]]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [_table(item) for item in items]
