"""What a file would say after an edit that an assistant is about to make, worked out in memory.

Three forms are known: a whole content, one text that replaces another, and a list of such. Bytes are compared with bytes, so
that a file that is no UTF-8 keeps what is not touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.core.errors import WorldError

if TYPE_CHECKING:
    from pathlib import Path

    from interlock.cli.hook.event import Event


@dataclass(frozen=True, slots=True)
class Edit:
    """A file before and after an edit."""

    path: Path
    before: bytes | None  # None if it is not there yet
    after: bytes


def edit_of(asked: Event, around: Path) -> Edit | None:
    """The edit that a tool's input asks for; None if it has none of the known forms, or does not fit the file.

    An edit that does not fit (the text to replace is not there) is refused by the tool itself.

    Args:
        asked: The input of the tool.
        around: The folder that a relative path starts from.
    """
    name = asked.first_of("file_path", "path")
    if name is None:
        return None
    path = around / name
    before = content_of(path)
    content = asked.first_of("content", "contents")
    after = content.encode(errors="surrogatepass") if content is not None else _replaced(before, asked)
    return None if after is None else Edit(path, before, after)


def content_of(path: Path) -> bytes | None:
    """What a file says; None if it is not there.

    Raises WorldError if it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise WorldError(message) from error


def _replaced(before: bytes | None, asked: Event) -> bytes | None:
    """A content with one text, or several after each other, replaced; None if one is not there."""
    steps = asked.parts("edits") or [asked]
    content = before or b""
    for step in steps:
        old, new = step.first_of("old_string"), step.first_of("new_string")
        if old is None or new is None:
            return None
        changed = _step(content, old.encode(errors="surrogatepass"), new.encode(errors="surrogatepass"), step)
        if changed is None:
            return None
        content = changed
    return content


def _step(content: bytes, old: bytes, new: bytes, step: Event) -> bytes | None:
    if not old:
        return new if not content else None  # How a new file is made by an edit.
    if old not in content and b"\r\n" in content:
        content = content.replace(b"\r\n", b"\n")  # Assistants write \n, whatever the file has.
    if old not in content:
        return None
    return content.replace(old, new, -1 if step.flag("replace_all") else 1)
