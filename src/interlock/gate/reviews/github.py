"""The reviews of a pull request, as GitHub knows them.

Source: https://docs.github.com/en/rest/pulls/reviews. Of each reviewer the last review holds. GitHub lets bots approve, and an
organisation can have an assistant's approval count: whoever is no user of type `User` does not count here. On a public
repository it lets anybody approve: who may not write to it does not count (/rest/collaborators/collaborators). It also lets
whoever wrote commits approve, unless they opened the pull request: here they do not count. (A merge of the base, as the button
"Update branch" makes it, writes nothing.)
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from interlock.core.errors import WorldError
from interlock.gate.reviews.approvals import APPROVED, REFUSED, WITHDRAWN, Review, Reviews
from interlock.gate.reviews.asking import ask, ask_for_all, moment, understood

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_STATES: Final = {"APPROVED": APPROVED, "CHANGES_REQUESTED": REFUSED, "DISMISSED": WITHDRAWN}
_WRITING: Final = ("admin", "write")  # `maintain` is told as the second.
_API: Final = "https://api.github.com"


def fetch(name: str, number: int) -> Reviews:
    """Asks GitHub. `GITHUB_TOKEN` and `GITHUB_API_URL` are taken from the environment, as GitHub Actions sets them.

    Raises:
        WorldError: If it does not answer.
    """
    repository = f"{os.environ.get('GITHUB_API_URL', _API)}/repos/{name}"
    url = f"{repository}/pulls/{number}"
    token = os.environ.get("GITHUB_TOKEN")
    headers = {"Accept": "application/vnd.github+json", **({"Authorization": f"Bearer {token}"} if token else {})}
    source = f"GitHub, {name}#{number}"
    pull, said = ask(url, headers), list(ask_for_all(f"{url}/reviews?per_page=100", headers))
    commits = list(ask_for_all(f"{url}/commits?per_page=100", headers))
    with understood(source):
        if len(commits) < pull["commits"]:  # GitHub tells of 250 at most.
            message = f"{source}: GitHub tells of {len(commits)} of its {pull['commits']} commits, so who wrote it is not known"
            raise WorldError(message)
        people = {
            str(_user(review)["login"]) for review in said if review["state"] == "APPROVED" and not _is_bot(_user(review))
        }
        strangers = [login for login in sorted(people) if not _may_write(f"{repository}/collaborators/{login}", headers)]
        return reviews_of(pull, said, commits, source, strangers)


def _may_write(url: str, headers: Mapping[str, str]) -> bool:
    return ask(f"{url}/permission", headers)["permission"] in _WRITING


def reviews_of(
    pull: dict[str, Any],
    reviews: Iterable[dict[str, Any]],
    commits: Iterable[dict[str, Any]],
    source: str,
    strangers: Collection[str] = (),
) -> Reviews:
    """What the answers say. Comments are no word for or against.

    Args:
        pull: The pull request.
        reviews: What was said of it.
        commits: What it is made of.
        source: Where all that is from, for people.
        strangers: Who may not write to the repository.
    """
    opened = _user(pull)
    asked: list[dict[str, Any]] = pull.get("assignees", []) if _is_bot(opened) else []
    return Reviews(
        source=source,
        authors=frozenset(str(user["login"]) for user in (opened, *asked, *map(_writer, commits)) if user),
        reviews=tuple(_review(review, strangers) for review in reviews if review["state"] in _STATES),
        platform="GitHub",
    )


def _review(review: dict[str, Any], strangers: Collection[str]) -> Review:
    user = _user(review)
    return Review(
        by=str(user.get("login", "a deleted user")),
        state=_STATES[review["state"]],
        commit=str(review.get("commit_id") or ""),
        is_person=not _is_bot(user),
        at=moment(review.get("submitted_at")),
        may_merge=user.get("login") not in strangers,
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
