"""Which marks of assistants are in a change's commits.

What is found is a lower bound. A change without a mark may have been written by anybody, so nothing is ever made easier because
none was found.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from interlock.check.repository import Commit

_TRAILER: Final = re.compile(r"^(?P<name>[A-Za-z][A-Za-z-]*):[ \t]+(?P<value>\S.*)$")
_ADDRESS: Final = re.compile(r"<([^<>\s]+@[^<>\s]+)>")
_COMMIT: Final = re.compile(r"\A[0-9a-f]{40,64}\Z")
_SESSION: Final = re.compile(r"^ {2}(s_[0-9a-f]{14}::t_[0-9a-f]{14}|[0-9a-f]{16}) ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mark:
    """By what one tool's work can be told; see marks.toml."""

    tool: str
    seen: str  # year and month
    trailer: tuple[str, ...] = ()
    person: tuple[str, ...] = ()
    message: tuple[str, ...] = ()
    subject: tuple[str, ...] = ()
    branch: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A mark where it was found."""

    place: str  # a commit, or a file; empty if it is on the branch
    tool: str
    what: str = field(compare=False)

    def __str__(self) -> str:
        """For people."""
        return f"{_COMMIT.sub(lambda name: name[0][:10], self.place) or 'the branch'}: {self.tool} ({self.what})"


def provenance(commits: Iterable[Commit], branch: str = "") -> list[Found]:
    """Every mark in some commits, and in the name of their branch; of each commit and tool the first."""
    found = [Found("", mark.tool, f"it is called {branch}") for mark in marks() if branch.startswith(mark.branch)]
    found += [one for commit in commits for one in _in_commit(commit)]
    return list(dict.fromkeys(found))


@cache
def marks() -> tuple[Mark, ...]:
    """The table."""
    table = tomllib.loads((Path(__file__).parent / "marks.toml").read_text(encoding="utf-8"))
    return tuple(_mark(entry) for entry in table["mark"])


def _mark(entry: dict[str, Any]) -> Mark:
    lists = {name: tuple(value) for name, value in entry.items() if name not in {"tool", "seen"}}
    return Mark(entry["tool"], entry["seen"], **lists)


def _in_commit(commit: Commit) -> Iterator[Found]:
    trailers = list(_trailers(commit.message))
    addresses = {address.lower() for _, value in trailers for address in _ADDRESS.findall(value)}
    people = (commit.author, commit.author_email.lower(), commit.committer, commit.committer_email.lower())
    for mark in marks():
        named = {text.lower() for text in mark.trailer}
        for name, value in trailers:  # One that gives an address may name a person; whose it is, the address tells.
            if name.lower() in named and value.lower() not in {"false", "no", "none"} and not _ADDRESS.search(value):
                yield Found(commit.name, mark.tool, f"{name}: {value}")
        for address in sorted(addresses.intersection(mark.trailer)):
            yield Found(commit.name, mark.tool, f"co-author {address}")
        for person in people:
            if person.endswith(mark.person):
                yield Found(commit.name, mark.tool, f"written or committed by {person}")
        said = [text for text in mark.message if text in commit.message]
        said += [text for text in mark.subject if commit.message.startswith(text)]
        for text in said:
            yield Found(commit.name, mark.tool, f"the message says {text.strip()}")
    for tool in _in_note(commit.note):
        yield Found(commit.name, tool, "a note of refs/notes/ai (git-ai) attributes lines to an assistant's session")


def _trailers(message: str) -> Iterator[tuple[str, str]]:
    """Everything in the message that has a trailer's form, wherever it stands: a squash moves them into the middle."""
    for line in message.splitlines():
        if match := _TRAILER.match(line):
            yield match["name"], match["value"].strip()


def _in_note(note: str) -> list[str]:
    """The tools to which a note of git-ai (authorship/3.0.0) attributes lines.

    Lines without a key say nothing, and those with a person's key (`h_...`) make nothing easier.
    """
    attested, _, document = note.partition("\n---\n")
    try:
        value: object = json.loads(document or "null")
    except (ValueError, RecursionError):
        value = None
    told = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    tables = [cast("dict[str, Any]", told[key]) for key in ("sessions", "prompts") if isinstance(told.get(key), dict)]
    sessions = [session for table in tables for session in table.values()]
    tools = [tool for session in sessions if (tool := _tool(session))]
    is_attested = bool(sessions) or _SESSION.search(attested) is not None
    return list(dict.fromkeys(tools)) or (["git-ai"] if is_attested else [])


def _tool(session: object) -> str:
    """The tool of a session, as far as the note tells."""
    agent: object = cast("dict[str, Any]", session).get("agent_id") if isinstance(session, dict) else None
    name: object = cast("dict[str, Any]", agent).get("tool") if isinstance(agent, dict) else None
    return name if isinstance(name, str) else ""
