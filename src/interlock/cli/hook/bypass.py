"""Does a shell command leave out the repository's own hooks?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDS: Final = frozenset(";&|()\n")  # What ends one command and begins the next.
_WITH_VALUE: Final = "mFCct"  # Letters of `git commit` after which the rest, or the next word, is a value.
_BEFORE_VERB: Final = ("-c", "-C", "--git-dir", "--work-tree")  # Options of git itself that take the next word.


def bypass_in(command: str) -> str | None:
    """The words of a command that leave out git's hooks; None if it has none. A command that no shell would read has none."""
    if "git" not in command or ("-n" not in command and "hooksPath" not in command and not _has_cluster(command)):
        return None
    import shlex  # noqa: PLC0415 - few commands come this far.

    try:
        lexer = shlex.shlex(command, posix=True, punctuation_chars=";&|()\n")
        lexer.whitespace = " \t\r"
        lexer.commenters = ""
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:
        return None
    return next((found for part in _commands(words) if (found := _left_out(part))), None)


def _has_cluster(command: str) -> bool:
    """Whether there is a word such as `-anm`."""
    return any(word.startswith("-") and "n" in word for word in command.split())


def _commands(words: list[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for word in words:
        if word and set(word) <= _ENDS:
            yield part
            part = []
        else:
            part.append(word)
    yield part


def _left_out(words: list[str]) -> str | None:
    start = next((number for number, word in enumerate(words) if word == "git" or word.endswith("/git")), None)
    if start is None or not all("=" in word or word in {"env", "command", "sudo"} for word in words[:start]):
        return None
    rest = words[start + 1 :]
    for number, word in enumerate(rest):
        if word.startswith("core.hooksPath=") and rest[number - 1] == "-c":
            return f"-c {word}"
    while rest and rest[0].startswith("-"):
        rest = rest[2 if rest[0] in _BEFORE_VERB else 1 :]
    return _option(rest[1:], is_commit=rest[0] == "commit") if rest else None


def _option(words: list[str], *, is_commit: bool) -> str | None:
    """The option that skips hooks, if it is one and not the value of another."""
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word == "--":
            return None
        elif word == "--no-verify":
            return word
        elif is_commit and word.startswith("-") and not word.startswith("--"):
            letters = word[1:]
            value = next((number for number, letter in enumerate(letters) if letter in _WITH_VALUE), None)
            if "n" in letters[: len(letters) if value is None else value]:
                return word
            skip = value == len(letters) - 1
    return None
