"""The lines that are added to a file from now on, also when it is rotated."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from interlock.core.errors import WorldError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Tail:
    """A file read from its end; one that is not there yet is read from its beginning when it comes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""
        self._file: BinaryIO | None = None
        if path.exists():
            self._file = self._opened()
            self._file.seek(0, 2)

    def read(self) -> Iterator[bytes]:
        """The whole lines that were added. Raises WorldError if the file cannot be read."""
        if self._file is None:
            if not self._path.exists():
                return
            self._file = self._opened()
        yield from self._added(self._file)
        if self._replaced(self._file):
            yield from self._added(self._file)  # What was written before it was put aside.
            self._file.close()
            self._file, self._rest = None, b""
            yield from self.read()

    def _added(self, file: BinaryIO) -> Iterator[bytes]:
        *lines, self._rest = (self._rest + file.read()).split(b"\n")
        yield from lines

    def _replaced(self, file: BinaryIO) -> bool:
        """Whether another file has the name now, or this one was cut off."""
        try:
            there, here = self._path.stat(), os.fstat(file.fileno())
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino) or there.st_size < file.tell()

    def _opened(self) -> BinaryIO:
        try:
            return self._path.open("rb")
        except OSError as error:
            message = f"{self._path}: cannot be read: {error.strerror}"
            raise WorldError(message) from error

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
