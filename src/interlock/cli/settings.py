"""Finds the project: the nearest folder upwards that has settings, or is the top of a repository."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from interlock.core.settings import FILES, Document, load


@dataclass(frozen=True, slots=True)
class Project:
    """Where a project is, and its settings, which are empty if there are none."""

    root: Path
    document: Document
    is_certain: bool = True  # whether it has settings, or is a repository: else it is just the folder that one stands in

    def inside(self, path: str | Path) -> str:
        """A path relative to the project, with forward slashes; absolute if it is not below."""
        absolute = Path(os.path.normpath(Path(path).absolute()))
        return (absolute.relative_to(self.root) if absolute.is_relative_to(self.root) else absolute).as_posix()


def project_around(here: Path) -> Project:
    """The project that a folder is in.

    Raises UsageError if its settings are not right.
    """
    for folder in (here, *here.parents):
        document = _settings_in(folder)
        if document.tables or (folder / ".git").exists():
            return Project(folder, _valid(document))
    return Project(here, Document(FILES[0], "", {}), is_certain=False)


def _settings_in(folder: Path) -> Document:
    def read(name: str) -> bytes | None:
        path = folder / name
        return path.read_bytes() if path.is_file() else None

    return load(read)


def _valid(document: Document) -> Document:
    """The settings, if the features in them are declared right; a mistake in them should not wait for the gate."""
    if "feature" in document.tables:
        from interlock.gate.features import Feature  # noqa: PLC0415 - a project without features need not pay for it.

        Feature.all_of(document)
    return document
