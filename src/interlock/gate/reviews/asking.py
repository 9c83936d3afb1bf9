"""Asks a platform's API over HTTP: JSON, page after page."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from contextlib import contextmanager
from datetime import datetime
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final

from interlock.core.errors import WorldError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

_TIMEOUT_S: Final = 15.0
_MOST_PAGES: Final = 50
_NEXT: Final = re.compile(r'<([^>]+)>;\s*rel="next"')


def ask(url: str, headers: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON can be anything.
    """The answer to one question.

    Raises:
        WorldError: If there is none.
    """
    return _asked(url, headers)[0]


def ask_for_all(url: str, headers: Mapping[str, str]) -> Iterator[Any]:
    """The items of a list that comes in pages.

    Raises:
        WorldError: If a page does not come, or is no list.
    """
    for _ in range(_MOST_PAGES):
        page, following = _asked(url, headers)
        if not isinstance(page, list):
            message = f"{url} answered with {type(page).__name__}, expected a list"
            raise WorldError(message)
        yield from page
        if not following:
            return
        url = following
    message = f"{url}: more than {_MOST_PAGES} pages"
    raise WorldError(message)


def moment(told: str | None) -> datetime | None:
    """A time that a platform tells; None if it tells none.

    Raises:
        ValueError: If it is no time, or one without a zone, which nothing can be held against.
    """
    if not told:
        return None
    at = datetime.fromisoformat(told)
    if at.tzinfo is None:
        message = f"a time without a zone: {told}"
        raise ValueError(message)
    return at


@contextmanager
def understood(source: str) -> Generator[None]:
    """Whoever reads an answer here expects a form; another one leaves what it tells unknown.

    Raises:
        WorldError: If something is not where it is expected.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        message = f"{source}: the answer is of another form than documented ({error!r})"
        raise WorldError(message) from error


def _asked(url: str, headers: Mapping[str, str]) -> tuple[Any, str]:
    if not url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        message = f"{url}: a token is sent over https only"
        raise WorldError(message)
    request = urllib.request.Request(url, headers={"User-Agent": "interlock", **headers})  # noqa: S310 - looked at above.
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - likewise.
            following = _NEXT.search(answer.headers.get("Link", ""))
            return json.load(answer), following[1] if following else ""
    except urllib.error.HTTPError as error:
        message = f"{url} answered {error.code} {error.reason}; is the token allowed to read this?"
        raise WorldError(message) from error
    except (OSError, ValueError, HTTPException, RecursionError) as error:
        message = f"{url} gave no answer: {error}"
        raise WorldError(message) from error
