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
def script(name: str) -> str:
    """The text of one transition, for EVAL."""
    return f"{_text(_SHARED)}\n{_text(name)}\nreturn {name}(KEYS, ARGV)\n"


@cache
def digest(name: str) -> str:
    """What EVALSHA calls this transition by."""
    return hashlib.sha1(script(name).encode(), usedforsecurity=False).hexdigest()


@cache
def library() -> str:
    """The text of all transitions, for FUNCTION LOAD."""
    registered = "\n".join(f"redis.register_function('{function(name)}', {name})" for name in names())
    return f"#!lua name={_library_name()}\n{_bodies()}\n{registered}\n"


@cache
def function(name: str) -> str:
    """What FCALL calls this transition by."""
    return f"{_library_name()}_{name}"


@cache
def _library_name() -> str:
    return f"retryqueue_{hashlib.sha256(_bodies().encode()).hexdigest()[:12]}"


@cache
def _bodies() -> str:
    return "\n".join(_text(name) for name in (_SHARED, *names()))


@cache
def _text(name: str) -> str:
    return files("retryqueue").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
