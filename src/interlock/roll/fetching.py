"""One page over HTTP. Whatever goes wrong with it is the world's fault: a server that dies in the middle of its answer, too."""

from __future__ import annotations

from http.client import HTTPException
from urllib.request import urlopen

from interlock.core.errors import UsageError, WorldError


def fetched(url: str, deadline_s: float) -> tuple[str, bytes]:
    """The headers and the body of an answer.

    Raises:
        WorldError: If there is none, none that is well, or less than it announced: half a page may lack what matters.
    """
    try:
        with urlopen(url, timeout=deadline_s) as answer:  # noqa: S310 - the team's own address, see `check_address`.
            return str(answer.headers), answer.read()
    except (OSError, ValueError, HTTPException) as error:  # Of these, urllib makes one of its own only while it sends.
        message = f"{url} did not answer: {error}"
        raise WorldError(message) from error


def check_address(what: str, url: str) -> None:
    """Raises UsageError if an address is none of HTTP."""
    if not url.startswith(("http://", "https://")):
        message = f"{what} at {url!r}; expected http:// or https://"
        raise UsageError(message)
