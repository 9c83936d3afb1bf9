"""Reviews over real HTTP, from a server that answers as GitHub and GitLab document it, and the gate that counts them."""

from __future__ import annotations

import json
import subprocess
import threading
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interlock.gate.records.signers import sign
from tests.gate import answer_to
from tests.machine import needed

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.conftest import Git, Interlock

FEATURES = '[[feature]]\nname = "payments"\ntier = 1\npaths = ["shop/payments/**"]\n'
BO = {"username": "bo", "name": "Bo"}
HUMAN = "Ada mends it\n"
ASSISTED = "Mend it\n\nCo-Authored-By: Claude Sonnet 5 <noreply@anthropic.com>\n"


@contextmanager
def platform(answers: dict[str, Any], seen: list[dict[str, str]]) -> Generator[str]:
    """A server with an answer for each path, which remembers the headers that it was sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(dict(self.headers))
            found = answers.get(self.path)
            body = json.dumps(found).encode()
            self.send_response(404 if found is None else 200)
            if f"{self.path}&page=2" in answers:
                self.send_header("Link", f'<http://127.0.0.1:{server.server_port}{self.path}&page=2>; rel="next"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by the server.
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key of CI's."""
    needed("ssh-keygen")
    path = tmp_path_factory.mktemp("key") / "ci"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def begun(git: Git, path: str, message: str, more: str = "") -> str:
    """A change to one file, with a message; answers with its commit."""
    git.write({"interlock.toml": FEATURES + more, path: "def pay():\n    return 1\n"})
    git.commit()
    git("checkout", "--quiet", "-b", "change")
    git.write({path: "def pay():\n    return 2\n"})
    git("commit", "--quiet", "--all", "-m", message)
    return git("rev-parse", "HEAD")


asked = partial(answer_to, "reviewed")


def approvals(folder: Path, head: str, *people: str) -> str:
    said = [{"by": name, "state": "approved", "commit": head} for name in people]
    path = folder / "approvals.json"
    path.write_text(json.dumps({"version": 1, "author": "ada", "reviews": said}))
    return str(path)


def test_tier_1_needs_two_people_whoever_wrote_it(interlock_in: Interlock, git: Git, tmp_path: Path) -> None:
    head = begun(git, "shop/payments/pay.py", HUMAN, '[evidence]\ntier_1 = "self"\n')

    one = asked(interlock_in, git, "--approvals", approvals(tmp_path, head, "bo", "ada"))
    two = asked(interlock_in, git, "--approvals", approvals(tmp_path, head, "bo", "cy"))
    assert (one["verdict"], two["verdict"]) == ("fail", "pass")
    assert one["answer"] == "no mark of an assistant; 1 of 2 approvals (bo)"
    assert "ada's approval does not count: its own author's" in one["evidence"]
    assert {ground["trust"] for ground in two["grounds"]} == {"self"}  # A file is the word of whoever wrote it.


def test_a_file_of_approvals_counts_for_tier_1_if_somebody_signs_it_whom_the_base_knows(
    interlock_in: Interlock, git: Git, tmp_path: Path, key: Path
) -> None:
    """Whoever wrote the change can write such a file as well."""
    public = key.with_suffix(".pub").read_text().strip()
    head = begun(git, "shop/payments/pay.py", HUMAN, f'[[signer]]\nname = "ci"\ntrust = "ci"\nkey = "{public}"\n')
    path = approvals(tmp_path, head, "bo", "cy")
    own = asked(interlock_in, git, "--approvals", path)
    assert (own["verdict"], own["grounds"]) == ("unknown", [])
    assert own["answer"].endswith(f"2 of 2 approvals (bo, cy), but whoever wrote {path} vouches for them; tier 1 needs ci")

    sign(Path(path), key)
    signed = asked(interlock_in, git, "--approvals", path)
    assert (signed["verdict"], [(ground["trust"], ground["by"]) for ground in signed["grounds"]]) == (
        "pass",
        [("ci", "ci")] * 2,
    )

    Path(path).write_text(Path(path).read_text().replace("cy", "di"))
    assert asked(interlock_in, git, "--approvals", path)["verdict"] == "unknown"


def test_what_an_assistant_wrote_needs_one_and_its_absence_frees_nobody(
    interlock_in: Interlock, git: Git, tmp_path: Path
) -> None:
    head = begun(git, "shop/hours.py", ASSISTED)
    assert asked(interlock_in, git, "--approvals", approvals(tmp_path, head))["verdict"] == "fail"
    found = asked(interlock_in, git, "--approvals", approvals(tmp_path, head, "bo"))
    assert (found["verdict"], found["answer"]) == ("pass", "marks of Claude Code; 1 of 1 approvals (bo)")

    git("commit", "--quiet", "--amend", "-m", HUMAN)
    amended = git("rev-parse", "HEAD")
    assert asked(interlock_in, git, "--approvals", approvals(tmp_path, amended))["verdict"] == "fail"
    assert asked(interlock_in, git, "--approvals", approvals(tmp_path, head, "bo"))["verdict"] == "fail"  # It is stale.


@pytest.mark.parametrize(
    "beside",
    [
        "Co-authored-by: Bo <bo@shop.example>",
        "Co-Authored-By: B. <7+Bo@users.noreply.github.com>",
        "co-authored-by: B. <7-bo@users.noreply.gitlab.com>",
    ],
)
def test_whoever_wrote_it_beside_its_author_does_not_count(
    interlock_in: Interlock, git: Git, tmp_path: Path, beside: str
) -> None:
    head = begun(git, "shop/hours.py", f"{HUMAN}\n{beside}\n")
    found = asked(interlock_in, git, "--approvals", approvals(tmp_path, head, "bo"))
    assert (found["verdict"], found["evidence"][-1]) == ("fail", "bo's approval does not count: its own author's")


@pytest.mark.parametrize(("more", "verdict"), [("", "pass"), ("import os\n", "fail")])
def test_who_merges_the_base_wrote_nothing_unless_the_merge_says_more(
    interlock_in: Interlock, git: Git, tmp_path: Path, more: str, verdict: str
) -> None:
    begun(git, "shop/hours.py", HUMAN)
    git("checkout", "--quiet", "main")
    git.commit({"other.py": "X = 1\n"})
    git("checkout", "--quiet", "change")
    git("-c", "user.name=Bo", "merge", "--quiet", "--no-commit", "main")
    git.write({"shop/hours.py": f"{more}def pay():\n    return 2\n"})
    git("commit", "--quiet", "--all", "--author=Bo <bo@shop.example>", "--message=Merge main")
    head = git("rev-parse", "HEAD")
    assert asked(interlock_in, git, "--approvals", approvals(tmp_path, head, "bo"))["verdict"] == verdict


def test_without_approvals_it_is_unknown_and_says_who_must_read(interlock_in: Interlock, git: Git) -> None:
    begun(git, "shop/payments/pay.py", ASSISTED)
    found = asked(interlock_in, git)

    assert found["verdict"] == "unknown"
    assert found["answer"].startswith("marks of Claude Code; 2 people must approve")
    assert any(line.startswith("2 lines to read") for line in found["evidence"])


def test_github_is_asked_page_by_page_with_the_token(interlock_in: Interlock, git: Git) -> None:
    head = begun(git, "shop/payments/pay.py", HUMAN)
    seen: list[dict[str, str]] = []
    review = {"state": "APPROVED", "commit_id": head}
    people = [{"login": name, "type": "User"} for name in ("ada", "bo", "cy")]
    answers: dict[str, Any] = {
        "/repos/shop/tea/pulls/7": {"user": people[0], "commits": 1},
        "/repos/shop/tea/collaborators/bo/permission": {"permission": "write"},
        "/repos/shop/tea/collaborators/cy/permission": {"permission": "admin"},
        "/repos/shop/tea/pulls/7/commits?per_page=100": [{"author": people[0], "parents": [{}]}],
        "/repos/shop/tea/pulls/7/reviews?per_page=100": [{**review, "user": people[1]}],
        "/repos/shop/tea/pulls/7/reviews?per_page=100&page=2": [
            {**review, "user": people[2], "submitted_at": "2024-10-17T14:00:00Z"}
        ],
    }
    with platform(answers, seen) as url:
        there = interlock_in.under(GITHUB_API_URL=url, GITHUB_TOKEN="t0ken")  # noqa: S106 - nobody's.
        found = asked(there, git, "--pull-request", "github:shop/tea#7")

    assert (found["verdict"], found["answer"]) == ("pass", "no mark of an assistant; 2 of 2 approvals (bo, cy)")
    answers["/repos/shop/tea/collaborators/cy/permission"] = {"permission": "read"}
    with platform(answers, []) as url:
        stranger = asked(interlock_in.under(GITHUB_API_URL=url), git, "--pull-request", "github:shop/tea#7")
    assert stranger["verdict"] == "fail"
    assert "cy's approval does not count: whoever gave it may not write to the repository" in stranger["evidence"]

    answers["/repos/shop/tea/pulls/7"] = {"user": people[0], "commits": 2}
    with platform(answers, []) as url:
        there = interlock_in.under(GITHUB_API_URL=url)
        ran = there("gate", "--base", "main", "--pull-request", "github:shop/tea#7", folder=git.root)
    assert (ran.code, ran.out) == (3, "")
    assert "tells of 1 of its 2 commits, so who wrote it is not known" in ran.err

    assert {headers["Authorization"] for headers in seen} == {"Bearer t0ken"}
    grounds = [(ground["what"], ground["trust"], ground["by"], ground["made_at"]) for ground in found["grounds"]]
    assert grounds == [
        ("approval of bo", "human", "GitHub", None),
        ("approval of cy", "human", "GitHub", "2024-10-17T14:00:00+00:00"),
    ]


def test_gitlab_is_asked_for_pushes_and_approvals(interlock_in: Interlock, git: Git) -> None:
    head = begun(git, "shop/hours.py", ASSISTED)
    request = "/projects/shop%2Ftea/merge_requests/7"
    answers: dict[str, Any] = {
        request: {"author": {"username": "ada"}},
        f"{request}/approvals": {"approved_by": [{"user": BO, "approved_at": "2026-11-26T13:00:00Z"}]},
        f"{request}/commits?per_page=100": [{"author_name": "Ada", "parent_ids": ["0"]}],
        f"{request}/versions?per_page=100": [{"created_at": "2026-11-26T12:00:00Z", "head_commit_sha": head}],
    }
    with platform(answers, []) as url:
        found = asked(interlock_in.under(CI_API_V4_URL=url), git, "--pull-request", "gitlab:shop/tea!7")

    assert (found["verdict"], found["answer"]) == ("pass", "marks of Claude Code; 1 of 1 approvals (bo)")
    assert [(ground["trust"], ground["made_at"]) for ground in found["grounds"]] == [("human", "2026-11-26T13:00:00+00:00")]

    answers[f"{request}/approvals"] = {"approved_by": [{"user": BO, "approved_at": "2026-11-26T13:00:00"}]}
    with platform(answers, []) as url:
        there = interlock_in.under(CI_API_V4_URL=url)
        assert there("gate", "--base", "main", "--pull-request", "gitlab:shop/tea!7", folder=git.root).code == 3


def test_a_platform_that_refuses_leaves_it_unknown(interlock_in: Interlock, git: Git) -> None:
    begun(git, "shop/hours.py", HUMAN)
    with platform({}, []) as url:
        ran = interlock_in.under(GITHUB_API_URL=url)(
            "gate", "--base", "main", "--pull-request", "github:shop/tea#7", folder=git.root
        )

    assert (ran.code, ran.out) == (3, "")
    assert "answered 404" in ran.err


def test_a_platform_that_answers_in_another_form_leaves_it_unknown(interlock_in: Interlock, git: Git) -> None:
    begun(git, "shop/hours.py", HUMAN)
    pull = "/repos/shop/tea/pulls/7"
    answers: dict[str, Any] = {pull: [1], f"{pull}/reviews?per_page=100": [{}], f"{pull}/commits?per_page=100": []}
    with platform(answers, []) as url:
        there = interlock_in.under(GITHUB_API_URL=url)
        ran = there("gate", "--base", "main", "--pull-request", "github:shop/tea#7", folder=git.root)

    assert (ran.code, ran.out) == (3, "")
    assert "GitHub, shop/tea#7: the answer is of another form than documented" in ran.err


def test_a_token_is_not_sent_in_the_clear(interlock_in: Interlock, git: Git) -> None:
    begun(git, "shop/hours.py", HUMAN)
    there = interlock_in.under(GITHUB_API_URL="http://api.shop.example", GITHUB_TOKEN="t0ken")  # noqa: S106 - nobody's.
    ran = there("gate", "--base", "main", "--pull-request", "github:shop/tea#7", folder=git.root)

    assert ran.code == 3
    assert "https only" in ran.err
