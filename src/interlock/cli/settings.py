"""Finds the project's settings: in the nearest folder upwards that has a settings file or is the top of a repository."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from interlock.core.settings import FILES, Document, known_sections, load

SECTIONS: Final = ("check", "feature")


def project_settings() -> tuple[Path, Document]:
    """The project's root and its settings, which are empty if there are none.

    Raises UsageError if they are not right.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if any((folder / name).is_file() for name in FILES) or (folder / ".git").exists():
            document = load(lambda name, root=folder: _content(root / name))  # type: ignore[misc]
            known_sections(document, SECTIONS)
            return folder, document
    return here, Document(FILES[0], "", {})


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
