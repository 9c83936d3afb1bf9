from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from interlock.core.errors import UsageError, WorldError
from interlock.gate.reviews import github, gitlab
from interlock.gate.reviews.approvals import APPROVED, REFUSED, WITHDRAWN, Review, Reviews, read

if TYPE_CHECKING:
    from pathlib import Path

HEAD, BEFORE = "a" * 40, "b" * 40


def reviews(*said: Review, authors: tuple[str, ...] = ("ada",)) -> Reviews:
    return Reviews(source="a test", authors=frozenset(authors), reviews=said)


def review(by: str, state: str = APPROVED, commit: str = HEAD, *, is_person: bool = True) -> Review:
    return Review(by=by, state=state, commit=commit, is_person=is_person)


def test_each_person_counts_once() -> None:
    assert reviews(review("bo"), review("bo"), review("cy")).counting(HEAD) == {"bo", "cy"}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (review("ada"), "its own author's"),
        (review("lint", is_person=False), "it is not a person"),
        (review("bo", commit=BEFORE), "it is of bbbbbbbbbb, and aaaaaaaaaa came later"),
        (review("bo", commit=""), "which commit it is of is not known"),
    ],
)
def test_some_approvals_do_not_count_and_it_is_said_why(said: Review, reason: str) -> None:
    found = reviews(said)

    assert found.counting(HEAD) == set()
    assert found.set_aside(HEAD) == [f"{said.by}'s approval does not count: {reason}"]


def test_whoever_asked_an_assistant_for_it_is_an_author_too() -> None:
    assert reviews(review("bo"), authors=("copilot[bot]", "bo")).counting(HEAD) == set()


def test_one_person_is_one_however_the_name_is_spelt() -> None:
    assert reviews(review("Ada"), review(" ada"), review("@ADA")).counting(HEAD) == set()
    assert len(reviews(review("bo"), review("Bo")).counting(HEAD)) == 1
    assert reviews(review("bo"), review("Bo", REFUSED)).counting(HEAD) == set()


def test_the_last_word_holds() -> None:
    assert reviews(review("bo"), review("bo", REFUSED)).refusing() == {"bo"}
    assert reviews(review("bo", REFUSED, BEFORE), review("bo")).refusing() == set()
    assert reviews(review("bo"), review("bo", WITHDRAWN)).counting(HEAD) == set()


def written(folder: Path, **changed: object) -> Path:
    path = folder / "approvals.json"
    said = [{"by": "bo", "state": "approved", "commit": HEAD}, {"by": "lint[bot]", "state": "approved", "commit": HEAD}]
    path.write_text(json.dumps({"version": 1, "author": "ada", "reviews": said, **changed}))
    return path


def test_a_file_tells_of_them(tmp_path: Path) -> None:
    found = read(written(tmp_path, asked_by="cy"))

    assert found.authors == {"ada", "cy"}
    assert found.counting(HEAD) == {"bo"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"version": 2}, "expected an object with version 1"),
        ({"reviewers": []}, "did you mean 'reviews'?"),
        ({"reviews": ["bo"]}, "a review is str"),
        ({"reviews": 5}, "reviews is int; expected a list"),
        ({"reviews": None}, "reviews is NoneType; expected a list"),
        ({"author": None}, "author is None; expected a name"),
        ({"author": " "}, "author is ' '; expected a name"),
        ({"reviews": [{"by": ["bo"], "state": "approved"}]}, r"by is \['bo'\]; expected a name"),
        ({"reviews": [{"by": "bo", "state": "aproved"}]}, "expected approved"),
        ({"reviews": [{"by": "bo", "state": "approved", "sha": HEAD}]}, "unknown key 'sha'"),
    ],
)
def test_a_file_that_is_not_right_is_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        read(written(tmp_path, **changed))


def test_without_an_author_nobody_can_say_whose_approval_counts(tmp_path: Path) -> None:
    path = tmp_path / "approvals.json"
    path.write_text('{"version": 1, "reviews": []}')

    with pytest.raises(UsageError, match="no author"):
        read(path)


def of_github(user: dict[str, Any] | None, state: str = "APPROVED") -> dict[str, Any]:
    return {"user": user, "state": state, "commit_id": HEAD}


def person(login: str) -> dict[str, Any]:
    return {"login": login, "type": "User"}


def test_of_github_only_users_count_and_comments_say_nothing() -> None:
    said = [
        of_github(person("bo")),
        of_github(person("bo"), "COMMENTED"),
        of_github(person("cy"), "DISMISSED"),
        of_github(person("di"), "CHANGES_REQUESTED"),
        of_github({"login": "copilot-pull-request-reviewer[bot]", "type": "Bot"}),
        of_github(None),
    ]
    found = github.reviews_of({"user": person("ada")}, said, [], "GitHub")

    assert (found.counting(HEAD), found.refusing(), found.authors) == ({"bo"}, {"di"}, frozenset({"ada"}))


def test_whoever_is_assigned_to_an_assistant_s_pull_request_asked_for_it() -> None:
    pull = {"user": {"login": "copilot-swe-agent[bot]", "type": "Bot"}, "assignees": [person("bo")]}

    assert github.reviews_of(pull, [of_github(person("bo"))], [], "GitHub").counting(HEAD) == set()


def test_of_github_whoever_wrote_a_commit_is_an_author_and_whoever_merged_the_base_is_none() -> None:
    commits: list[dict[str, Any]] = [
        {"author": person("bo"), "parents": [{}]},
        {"author": None, "parents": [{}]},
        {"author": person("cy"), "parents": [{}, {}]},
    ]
    found = github.reviews_of({"user": person("ada")}, [of_github(person("bo")), of_github(person("cy"))], commits, "GitHub")

    assert found.counting(HEAD) == {"cy"}


def test_of_gitlab_an_approval_is_of_the_last_push_before_it() -> None:
    pushes = [
        {"created_at": "2026-11-26T10:00:00Z", "head_commit_sha": BEFORE},
        {"created_at": "2026-11-26T12:00:00.000Z", "head_commit_sha": HEAD},
    ]
    given = [
        {"user": {"username": "bo", "name": "Bo"}, "approved_at": "2026-11-26T13:00:00Z"},
        {"user": {"username": "cy", "name": "Cy"}, "approved_at": "2026-11-26T11:00:00Z"},
        {"user": {"username": "di", "name": "Di"}},
        {"user": {"username": "eve7", "name": "Eve Long"}, "approved_at": "2026-11-26T13:00:00Z"},
        {"user": {"username": "project_7_bot_1a2b", "name": "ci"}, "approved_at": "2026-11-26T13:00:00Z"},
    ]
    commits = [{"author_name": "Eve Long", "parent_ids": [BEFORE]}, {"author_name": "Bo", "parent_ids": [BEFORE, HEAD]}]
    found = gitlab.reviews_of({"author": {"username": "ada"}}, {"approved_by": given}, pushes, commits, "GitLab")

    assert found.counting(HEAD) == {"bo"}
    assert len(found.set_aside(HEAD)) == 4


def test_of_gitlab_without_a_push_nothing_can_be_said() -> None:
    with pytest.raises(WorldError, match="no push"):
        gitlab.reviews_of({"author": {"username": "ada"}}, {"approved_by": []}, [], [], "GitLab")
