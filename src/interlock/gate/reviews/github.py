"""The reviews of a pull request, as GitHub knows them.

Source: https://docs.github.com/en/rest/pulls/reviews. Of each reviewer the last review holds. GitHub lets bots approve, and an
organisation can have an assistant's approval count: whoever is no user of type `User` does not count here. It also lets whoever
wrote commits approve, unless they opened the pull request: here they do not count. (A merge of the base, as the button "Update
branch" makes it, writes nothing.)
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from interlock.gate.reviews.approvals import APPROVED, REFUSED, WITHDRAWN, Review, Reviews
from interlock.gate.reviews.asking import ask, ask_for_all, moment, understood

if TYPE_CHECKING:
    from collections.abc import Iterable

_STATES: Final = {"APPROVED": APPROVED, "CHANGES_REQUESTED": REFUSED, "DISMISSED": WITHDRAWN}
_API: Final = "https://api.github.com"


def fetch(name: str, number: int) -> Reviews:
    """Asks GitHub. `GITHUB_TOKEN` and `GITHUB_API_URL` are taken from the environment, as GitHub Actions sets them.

    Raises:
        WorldError: If it does not answer.
    """
    url = f"{os.environ.get('GITHUB_API_URL', _API)}/repos/{name}/pulls/{number}"
    token = os.environ.get("GITHUB_TOKEN")
    headers = {"Accept": "application/vnd.github+json", **({"Authorization": f"Bearer {token}"} if token else {})}
    source = f"GitHub, {name}#{number}"
    pull, said = ask(url, headers), ask_for_all(f"{url}/reviews?per_page=100", headers)
    commits = ask_for_all(f"{url}/commits?per_page=100", headers)
    with understood(source):
        return reviews_of(pull, said, commits, source)


def reviews_of(
    pull: dict[str, Any], reviews: Iterable[dict[str, Any]], commits: Iterable[dict[str, Any]], source: str
) -> Reviews:
    """What the answers say. Comments are no word for or against."""
    opened = _user(pull)
    asked: list[dict[str, Any]] = pull.get("assignees", []) if _is_bot(opened) else []
    return Reviews(
        source=source,
        authors=frozenset(str(user["login"]) for user in (opened, *asked, *map(_writer, commits)) if user),
        reviews=tuple(_review(review) for review in reviews if review["state"] in _STATES),
        platform="GitHub",
    )


def _review(review: dict[str, Any]) -> Review:
    user = _user(review)
    return Review(
        by=str(user.get("login", "a deleted user")),
        state=_STATES[review["state"]],
        commit=str(review.get("commit_id") or ""),
        is_person=not _is_bot(user),
        at=moment(review.get("submitted_at")),
    )


def _writer(commit: dict[str, Any]) -> dict[str, Any]:
    """Whose account a commit was written by; nobody's, if no account has its address, or if it only merges."""
    author: dict[str, Any] | None = commit["author"] if len(commit["parents"]) == 1 else None
    return author or {}


def _user(said: dict[str, Any]) -> dict[str, Any]:
    """Whose it is; nobody's, once the account is deleted."""
    user: dict[str, Any] | None = said.get("user")
    return user or {}


def _is_bot(user: dict[str, Any]) -> bool:
    """Whether no person stands behind an account, as far as GitHub tells."""
    return user.get("type") != "User" or str(user.get("login", "")).endswith("[bot]")
