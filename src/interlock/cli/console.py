"""Results go to stdout, progress and complaints to stderr. Colour only on a terminal, and never under NO_COLOR."""

from __future__ import annotations

import os
import sys
import time
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from interlock.core.errors import WorldError

if TYPE_CHECKING:
    from collections.abc import Callable

_CODES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_PATIENCE_S: Final = 2.0  # Whoever waits longer than this is shown how far it is.
_EVERY_S: Final = 0.2
_EVERY_LINE_S: Final = 2.0  # Where lines stay, such as in the log of a pipeline.


class Console:
    """Where a verb writes."""

    def __init__(self, *, quiet: bool = False, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = out or sys.stdout or _nowhere()
        self._err = err or sys.stderr or _nowhere()
        self._quiet = quiet
        self._started_s = self._shown_s = time.monotonic()
        for stream in (self._out, self._err):
            if isinstance(stream, TextIOWrapper):  # A file's name may hold bytes that the terminal cannot show.
                stream.reconfigure(errors="backslashreplace")

    def result(self, text: str) -> None:
        """Prints a result.

        Raises WorldError if it cannot be written, BrokenPipeError if nobody reads it any more.
        """
        self._hand_over(f"{text}\n")

    def flush(self) -> None:
        """Hands over what others have printed. Raises what `result` raises."""
        self._hand_over("")

    def _hand_over(self, text: str) -> None:
        """Writes now, and not at the end of the process, where it is too late to answer for it."""
        try:
            self._out.write(text)
            self._out.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            _let_go(sys.stdout)
            message = f"the result cannot be written: {error.strerror}"
            raise WorldError(message) from error

    def note(self, text: str) -> None:
        """Prints a line beside the result, unless only the result is wanted."""
        if not self._quiet:
            self._clear()
            print(text, file=self._err)

    def complain(self, text: str) -> None:
        """Prints what kept us from an answer; wanted or not."""
        self._clear()
        print(text, file=self._err)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self._started_s

    def progress(self, what: str) -> Callable[[int, int], None]:
        """A function to call with (done, all). It draws one line on a terminal, after two seconds."""

        def show(done: int, total: int) -> None:
            now_s = time.monotonic()
            late = now_s - self._started_s > _PATIENCE_S and now_s - self._shown_s > _EVERY_S
            if late and not self._quiet and self._err.isatty():
                self._shown_s = now_s
                print(f"\r{what} {done} of {total}", end="", file=self._err, flush=True)

        return show

    def status(self, text: str, *, line_every_s: float = _EVERY_LINE_S) -> None:
        """Shows how far something is: on a terminal in one line that changes, elsewhere in a line now and then."""
        now_s, on_terminal = time.monotonic(), self._err.isatty()
        late = now_s - self._started_s > _PATIENCE_S and now_s - self._shown_s > (_EVERY_S if on_terminal else line_every_s)
        if late and not self._quiet:
            self._shown_s = now_s
            self._clear()
            shown = text[: _columns() - 1] if on_terminal else text
            print(shown, end="" if on_terminal else "\n", file=self._err, flush=True)

    def _clear(self) -> None:
        if self._err.isatty():
            print("\r\033[K", end="", file=self._err)

    def paint(self, text: str, *styles: str) -> str:
        """A text in these styles, where styles can be seen."""
        if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not self._out.isatty():
            return text
        return f"\033[{';'.join(_CODES[style] for style in styles)}m{text}\033[0m"

    def fail(self, message: str, code: int) -> int:
        """Says why there is no verdict, and gives the exit code back."""
        self.complain(f"interlock: {message}")
        return code

    def ours(self, code: int) -> int:
        """Says that the fault is ours."""
        import traceback  # noqa: PLC0415 - five milliseconds that nobody should pay for before there is a fault.

        return self.fail(f"a fault of interlock itself, please report it:\n{traceback.format_exc()}", code)

    def abandoned(self) -> int:
        """Ends quietly when whoever read the output went away, as `head` does."""
        _let_go(sys.stdout, sys.stderr)
        return 141


def _columns() -> int:
    from shutil import get_terminal_size  # noqa: PLC0415 - it brings along three compressions that nobody here needs.

    return get_terminal_size().columns


def _nowhere() -> TextIO:
    """What stands for a stream that was closed before we began."""
    return Path(os.devnull).open("w", encoding="utf-8")


def _let_go(*streams: TextIO | None) -> None:
    """Lets what is still to be written to these streams go nowhere, so that Python does not fail over it at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        if stream is not None:
            os.dup2(nowhere, stream.fileno())
