"""The approvals of a merge request, as GitLab knows them.

Source: https://docs.gitlab.com/api/merge_request_approvals and /api/merge_requests (diff versions). An approval does not name
its commit, so its time is held against that of the last push; one whose time GitLab does not tell does not count. Commits name
no account: whoever bears the name that an author of one bears does not count either.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from interlock.core.errors import WorldError
from interlock.gate.reviews.approvals import APPROVED, Review, Reviews
from interlock.gate.reviews.asking import ask, ask_for_all, moment, understood

_API: Final = "https://gitlab.com/api/v4"
_BOT: Final = re.compile(r"(project|group)_\d+_bot|service_account_|.*[-_]bot$|ghost$")


def fetch(name: str, number: int) -> Reviews:
    """Asks GitLab. `GITLAB_TOKEN` and `CI_API_V4_URL` are taken from the environment.

    Raises:
        WorldError: If it does not answer.
    """
    url = f"{os.environ.get('CI_API_V4_URL', _API)}/projects/{quote(name, safe='')}/merge_requests/{number}"
    token = os.environ.get("GITLAB_TOKEN")
    headers = {"PRIVATE-TOKEN": token} if token else {}
    source = f"GitLab, {name}!{number}"
    versions, commits = (list(ask_for_all(f"{url}/{what}?per_page=100", headers)) for what in ("versions", "commits"))
    request, approvals = ask(url, headers), ask(f"{url}/approvals", headers)
    with understood(source):
        return reviews_of(request, approvals, versions, commits, source)


def reviews_of(
    request: dict[str, Any],
    approvals: dict[str, Any],
    versions: list[dict[str, Any]],
    commits: list[dict[str, Any]],
    source: str,
) -> Reviews:
    """What the answers say."""
    if not versions:
        message = f"{source}: GitLab tells of no push, so no approval can be held against one"
        raise WorldError(message)
    pushes = sorted((datetime.fromisoformat(version["created_at"]), version["head_commit_sha"]) for version in versions)
    given: list[dict[str, Any]] = approvals.get("approved_by", [])
    writers = {str(commit["author_name"]).casefold() for commit in commits if len(commit.get("parent_ids") or [""]) == 1}
    users = [approval["user"] for approval in given]
    wrote = {user["username"] for user in users if writers & {str(user[key]).casefold() for key in ("username", "name")}}
    return Reviews(
        source=source,
        authors=frozenset({request["author"]["username"], *wrote}),
        reviews=tuple(_review(approval, pushes) for approval in given),
        platform="GitLab",
    )


def _review(approval: dict[str, Any], pushes: list[tuple[datetime, str]]) -> Review:
    user, at = approval["user"], moment(approval.get("approved_at"))
    seen = [commit for pushed_at, commit in pushes if at is not None and pushed_at <= at]
    is_person = not _BOT.match(str(user["username"]))
    return Review(by=user["username"], state=APPROVED, commit=seen[-1] if seen else "", is_person=is_person, at=at)
