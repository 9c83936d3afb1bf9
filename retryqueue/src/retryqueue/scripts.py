"""The transitions, as the server takes them: a library of functions where it knows these (7.0 and later), else single scripts.

Both are made of the same files in `lua/`. A library's name carries a digest of its text, so that two versions of this
package can work side by side on one server.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

_SHARED = "record"


@cache
def names() -> tuple[str, ...]:
    """The names of all transitions, sorted."""
    found = (entry.name.removesuffix(".lua") for entry in files("retryqueue").joinpath("lua").iterdir())
    return tuple(sorted(name for name in found if name != _SHARED))


@cache
def script(name: str, *, flagged: bool) -> str:
    """The text of one transition, for EVAL; `flagged` for servers that know flags (7.0 and later)."""
    head = f"#!lua flags={_flags(name)}\n" if flagged and _flags(name) else ""
    return f"{head}{_text(_SHARED)}\n{_text(name)}\nreturn {name}(KEYS, ARGV)\n"


@cache
def digest(name: str, *, flagged: bool) -> str:
    """What EVALSHA calls this transition by."""
    return hashlib.sha1(script(name, flagged=flagged).encode(), usedforsecurity=False).hexdigest()


@cache
def library() -> str:
    """The text of all transitions, for FUNCTION LOAD."""
    registered = "\n".join(_registered(name) for name in names())
    return f"#!lua name={library_name()}\n{_bodies()}\n{registered}\n"


@cache
def function(name: str) -> str:
    """What FCALL calls this transition by."""
    return f"{library_name()}_{name}"


def _registered(name: str) -> str:
    flags = f"'{_flags(name)}'" if _flags(name) else ""
    return f"redis.register_function{{function_name='{function(name)}', callback={name}, flags={{{flags}}}}}"


def _flags(name: str) -> str:
    """What the server should know of a script.

    `allow-oom`: it frees memory or settles what is under way, so that a server whose memory is full must not refuse it.
    `no-writes`: it only reads.
    """
    first = _text(name).partition("\n")[0]
    return first.removeprefix("-- flags: ") if first.startswith("-- flags: ") else ""


@cache
def library_name() -> str:
    """What the library is called."""
    return f"retryqueue_{hashlib.sha256(_bodies().encode()).hexdigest()[:12]}"


@cache
def _bodies() -> str:
    return "\n".join(_text(name) for name in (_SHARED, *names()))


@cache
def _text(name: str) -> str:
    return files("retryqueue").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
