"""Results go to stdout, progress and complaints to stderr. Colour only on a terminal, and never under NO_COLOR.

What comes from a queue is written by others. So control characters are escaped before a terminal sees them, and the
password of an address is taken out of everything that goes to stderr.
"""

from __future__ import annotations

import os
import re
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Final, TextIO

from retryqueue.cli.errors import WorldError

_CODES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_LOGIN: Final = re.compile(r"(?<=://)[^\s'\"]*@")
_LOGIN_OPTION: Final = re.compile(r"(?<=[?&])(username|password)=[^&\s'\"]*")


class Console:
    """Where a verb writes."""

    def __init__(self, *, quiet: bool = False, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = out or sys.stdout or _nowhere()
        self._err = err or sys.stderr or _nowhere()
        self.quiet = quiet
        for stream in (self._out, self._err):
            if isinstance(stream, TextIOWrapper):  # A terminal may not be able to show every letter.
                stream.reconfigure(errors="backslashreplace")

    def result(self, text: str) -> None:
        """Prints a result.

        Raises:
            WorldError: If it cannot be written.
            BrokenPipeError: If nobody reads it any more.
        """
        self.draw(f"{text}\n")

    def draw(self, text: str) -> None:
        """Writes to stdout as it is, and now: at the end of the process it would be too late to answer for it.

        Raises:
            WorldError, BrokenPipeError: As `result`.
        """
        try:
            self._out.write(text)
            self._out.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            _let_go(sys.stdout)
            raise WorldError(f"the result cannot be written: {error.strerror}") from error

    def note(self, text: str) -> None:
        """Prints a line beside the result, unless only the result is wanted."""
        if not self.quiet:
            self.complain(text)

    def complain(self, text: str) -> None:
        """Prints what kept us from an answer; wanted or not."""
        self._err.write(f"{without_login(text)}\n")
        self._err.flush()

    @property
    def is_terminal(self) -> bool:
        """Whether results are seen by a person, on something that can move its cursor."""
        return self._out.isatty() and os.environ.get("TERM") != "dumb"

    @property
    def has_blocks(self) -> bool:
        """Whether block characters can be shown."""
        return (self._out.encoding or "").lower().startswith("utf")

    def paint(self, text: str, *styles: str) -> str:
        """A text in these styles, where styles can be seen."""
        if os.environ.get("NO_COLOR") or not self.is_terminal:
            return text
        return f"\033[{';'.join(_CODES[style] for style in styles)}m{text}\033[0m"

    def fail(self, message: str, code: int) -> int:
        """Says why there is no answer, and gives the exit code back."""
        self.complain(f"retryqueue: {message}")
        return code

    def ours(self, code: int) -> int:
        """Says that the fault is ours."""
        import traceback  # noqa: PLC0415 - needed only once there is a fault.

        return self.fail(f"a fault of retryqueue itself, please report it:\n{traceback.format_exc()}", code)

    def abandoned(self) -> int:
        """Ends quietly when whoever read the output went away, as `head` does."""
        _let_go(sys.stdout, sys.stderr)
        return 141


def without_login(text: str) -> str:
    """The text, with `***` in the place of user and password in each address."""
    return _LOGIN_OPTION.sub(r"\1=***", _LOGIN.sub("***@", text))


def safe(text: str) -> str:
    """The text on one line, with every character that a terminal might obey or not show escaped."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _nowhere() -> TextIO:
    """What stands for a stream that was closed before we began."""
    return Path(os.devnull).open("w", encoding="utf-8")


def _let_go(*streams: TextIO | None) -> None:
    """Lets what is still to be written to these streams go nowhere, so that Python does not fail over it at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        if stream is not None:
            os.dup2(nowhere, stream.fileno())
