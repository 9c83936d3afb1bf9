"""Finds the project: the nearest folder upwards that has settings, or is the top of a repository."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.core.settings import FILES, Document, load
from interlock.hazards.catalogue import listings

if TYPE_CHECKING:
    from interlock.hazards.catalogue import Listing
    from interlock.hazards.own import OwnHazards


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

    @property
    def own_hazards(self) -> OwnHazards | None:
        """The team's own hazards, as they are in the work tree. Raises UsageError if they are not where the settings say."""
        if "hazards" not in self.document.tables:
            return None
        from interlock.hazards.own import OwnHazards, on_disk  # noqa: PLC0415 - most teams have none, and need not pay for it.

        return OwnHazards.of(self.document, on_disk(self.root))

    @property
    def hazards(self) -> tuple[Listing, ...]:
        """Every hazard that is known here: those of interlock, and the team's own."""
        return listings(self.own_hazards)


def project_around(here: Path, *, holds_features: bool = True) -> Project:
    """The project that a folder is in.

    Args:
        here: The folder.
        holds_features: Whether a mistake in what the gate alone reads is told as well; who does without it is sooner done.

    Raises:
        UsageError: If its settings are not right.
    """
    for folder in (here, *here.parents):
        document = _settings_in(folder)
        if document.tables or (folder / ".git").exists():
            return Project(folder, _valid(document) if holds_features else document)
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
