"""One run of the gate in all its forms: they tell the same, and no word of the change becomes more than a word in them."""

# pyright: basic
# (jsonschema ships no types.)

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # It ships no types.
from markdown_it import MarkdownIt

from tests.conftest import Git, Interlock
from tests.contract.test_sarif import SCHEMA
from tests.documented import disagreements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from markdown_it.token import Token

    from tests.conftest import Ran

FEATURES = '[[feature]]\nname = "payments"\ntier = 1\npaths = ["shop/**"]\n'
BAD = "import time\n\ndef new_order(user):\n    order_id = f'{user.id}-{int(time.time())}'\n    return order_id\n"
SLY = "shop/```@everyone <!-- <img src=x> [a](b) --> **so**.py"
FORMS = ("text", "json", "sarif", "markdown", "checklist", "html")


class Gated:
    """What one run has written."""

    def __init__(self, folder: Path, ran: Ran) -> None:
        self.ran = ran
        self.texts = {form: path.read_text() for form in FORMS if (path := folder / form).exists()}

    def tokens(self, form: str) -> list[Token]:
        """All that a reader of Markdown makes of one of them."""
        found = MarkdownIt("commonmark").enable("table").parse(self.texts[form])
        return [inner for token in found for inner in (token.children or [token])]

    @property
    def data(self) -> dict[str, Any]:
        """The JSON."""
        told: dict[str, Any] = json.loads(self.texts["json"])
        assert disagreements("interlock gate", told) == []
        return told


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Gated]:
    """Runs the gate once for each list of arguments, on a change with a hazard in a file whose name is sly."""
    folder = tmp_path_factory.mktemp("forms")
    git = Git(folder / "repository")
    git.commit({"interlock.toml": FEATURES, "shop/pay.py": "A = 1\n"})
    git.branch("bad")
    git.commit({SLY: BAD})
    git.branch("open", "main")
    git.commit({"shop/pay.py": "A = 2\n"})
    git.branch("good", "main")
    git.commit({"docs.md": "x"})
    found: dict[tuple[str, ...], Gated] = {}

    def run(head: str, *arguments: str) -> Gated:
        if (head, *arguments) not in found:
            place = folder / str(len(found))
            place.mkdir()
            written = [word for form in FORMS for word in ("--write", f"{form}={place / form}")]
            ran = Interlock(git.root)("gate", "--base", "main", "--head", head, *written, *arguments)
            found[head, *arguments] = Gated(place, ran)
        return found[head, *arguments]

    return run


def inline(tokens: list[Token]) -> Iterator[str]:
    """What is shown as text, and not as code."""
    yield from (token.content for token in tokens if token.type == "text")


@pytest.mark.parametrize(("head", "code", "verdict"), [("bad", 1, "fail"), ("open", 3, "unknown"), ("good", 0, "pass")])
def test_all_forms_tell_one_verdict(gated: Callable[..., Gated], head: str, code: int, verdict: str) -> None:
    found = gated(head)

    assert found.ran.code == code
    assert found.data["verdict"] == verdict
    assert found.data["dry_run"] is False
    assert f"verdict: {verdict} (" in found.texts["text"].splitlines()[-1]
    assert found.texts["markdown"].splitlines()[1].startswith(f"**interlock gate: {verdict}** (")
    assert f"**{verdict}**: " in found.texts["checklist"]


@pytest.mark.parametrize(("head", "code"), [("bad", 1), ("open", 3), ("good", 0)])
def test_a_dry_run_tells_the_real_verdict_and_blocks_nothing(gated: Callable[..., Gated], head: str, code: int) -> None:
    real, dry = gated(head), gated(head, "--dry-run")

    assert (real.ran.code, dry.ran.code) == (code, 0)
    assert dry.data["dry_run"] is True
    assert dry.data["verdict"] == real.data["verdict"]
    said = f"dry run: nothing is blocked, the exit code is 0; without --dry-run it is {code}"
    assert dry.ran.out.splitlines()[-1] == said
    assert f"{said}." in dry.texts["markdown"].splitlines()


def test_a_dry_run_does_not_hide_settings_that_are_wrong(interlock_in: Interlock, git: Git) -> None:
    git.commit({"interlock.toml": "[[feature]]\nname = 1\n"})

    assert interlock_in("gate", "--base", "main", "--dry-run", folder=git.root).code == 2


@pytest.mark.parametrize("form", ["markdown", "checklist"])
def test_no_word_of_a_change_becomes_more_than_a_word(gated: Callable[..., Gated], form: str) -> None:
    tokens = gated("bad").tokens(form)

    assert "@everyone" in gated("bad").texts[form]
    assert not any("@" in text or "img" in text for text in inline(tokens))
    assert [token.content for token in tokens if token.type == "html_inline"] == []
    assert not any(token.type in {"link_open", "image"} for token in tokens)


class Tags(HTMLParser):
    """What a browser makes of a page: its tags, what they lead to, its comments and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.leads, self.comments, self.text = set[str](), list[str](), list[str](), ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.leads += [value or "" for name, value in attrs if name in {"href", "src", "xlink:href", "data", "action"}]

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        self.text += data


class TestThePage:
    def test_it_fetches_nothing_and_runs_nothing(self, gated: Callable[..., Gated]) -> None:
        page = Tags(gated("bad").texts["html"])
        assert page.tags.isdisjoint({"script", "img", "link", "iframe", "object", "base", "form"})
        assert all(lead.startswith("#") for lead in page.leads)
        assert "url(" not in page.text
        assert "@import" not in page.text

    def test_the_words_of_a_change_are_words(self, gated: Callable[..., Gated]) -> None:
        page = Tags(gated("bad").texts["html"])
        assert page.comments == []
        assert f"{SLY}:4:" in page.text

    @pytest.mark.parametrize(("head", "verdict"), [("bad", "fail"), ("open", "unknown"), ("good", "pass")])
    def test_it_says_the_verdict_and_what_answers_what_is_open(
        self, gated: Callable[..., Gated], head: str, verdict: str
    ) -> None:
        text = Tags(gated(head).texts["html"]).text
        assert f"May this change ship? {verdict}\n" in text
        assert "interlock rehearse rollback" in text


class TestTheComment:
    def test_it_is_found_again_by_its_first_line(self, gated: Callable[..., Gated]) -> None:
        for head in ("bad", "open", "good"):
            first, *_ = gated(head).tokens("markdown")
            assert (first.type, first.content.strip()) == ("html_block", "<!-- interlock:gate -->")

    def test_a_pass_is_one_line(self, gated: Callable[..., Gated]) -> None:
        *_, last = gated("good").texts["markdown"].strip().splitlines()
        verdicts = [asked["verdict"] for asked in gated("good").data["questions"]]
        passed, open_ = verdicts.count("pass"), verdicts.count("unknown")
        told = f"{passed} of {passed + open_} questions pass, resting on recomputed ({passed})."
        assert last == f"{told} {open_} open questions not needed for this change."
        assert len(gated("good").texts["markdown"].strip().splitlines()) == 4

    def test_it_says_what_is_missing_and_the_command_for_it(self, gated: Callable[..., Gated]) -> None:
        text = gated("open").texts["markdown"]
        assert "- **unknown: Was the rollback rehearsed?** `no [rollback] at the base" in text
        assert "  - to answer it: `interlock rehearse rollback" in text

    def test_it_says_what_is_bad_and_where(self, gated: Callable[..., Gated]) -> None:
        (fence,) = [token for token in gated("bad").tokens("markdown") if token.type == "fence"]
        assert fence.content.splitlines()[0] == "yes: identity/coarse-clock"
        assert f"{SLY}:4:" in fence.content


class TestTheChecklist:
    def test_it_asks_the_three_questions_first(self, gated: Callable[..., Gated]) -> None:
        boxes = [line for line in gated("open").texts["checklist"].splitlines() if line.startswith("- [")]
        assert [box.partition("**")[2].partition("?")[0] for box in boxes[:3]] == [
            "Was the rollback rehearsed",
            "Does it start on a canary of 1 to 5 %",
            "Would an alert fire on the failure it can cause, and reach a pager",
        ]

    @pytest.mark.parametrize("head", ["bad", "open", "good"])
    def test_evidence_alone_ticks_a_box(self, gated: Callable[..., Gated], head: str) -> None:
        found = gated(head)
        verdicts = {asked["question"]: asked["verdict"] for asked in found.data["questions"]}
        boxes = [line for line in found.texts["checklist"].splitlines() if line.startswith("- [")]
        assert len(boxes) == len(verdicts)
        for box in boxes:
            question = box.split("**")[1]
            assert box.startswith("- [x]") == (verdicts[question] == "pass")
            assert f"** {verdicts[question]}: " in box


class TestSarif:
    def run(self, found: Gated) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(found.texts["sarif"])
        Draft202012Validator(SCHEMA).validate(document)
        return dict(document["runs"][0])

    def test_a_hazard_is_a_result_where_it_is(self, gated: Callable[..., Gated]) -> None:
        run = self.run(gated("bad"))
        (result,) = run["results"]
        assert result["ruleId"] == "identity/coarse-clock"
        assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 4
        assert run["automationDetails"] == {"id": "interlock/gate/"}

    def test_what_is_open_is_a_notification_and_no_success(self, gated: Callable[..., Gated]) -> None:
        run = self.run(gated("open"))
        (invocation,) = run["invocations"]
        assert run["results"] == []
        assert invocation["executionSuccessful"] is False
        notes = invocation["toolExecutionNotifications"]
        assert {note["level"] for note in notes} == {"warning"}
        assert any("Was the rollback rehearsed?" in note["message"]["text"] for note in notes)

    def test_what_is_not_needed_is_a_note_beside_a_success(self, gated: Callable[..., Gated]) -> None:
        (invocation,) = self.run(gated("good"))["invocations"]
        assert invocation["executionSuccessful"] is True
        assert {note["level"] for note in invocation["toolExecutionNotifications"]} == {"note"}


@pytest.mark.parametrize(("wrong", "code"), [("nonsense=x", 2), ("markdown", 2), ("markdown=no/such/folder/x", 3)])
def test_what_cannot_be_written_is_no_verdict(interlock_in: Interlock, git: Git, wrong: str, code: int) -> None:
    git.commit({"interlock.toml": FEATURES})
    ran = interlock_in("gate", "--base", "main", "--write", wrong, folder=git.root)

    assert ran.code == code
    assert ("expected FORMAT=FILE" if code == 2 else "cannot be written") in ran.err
