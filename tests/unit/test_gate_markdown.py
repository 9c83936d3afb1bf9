"""Whatever others have said stays code in our Markdown, as a reader of CommonMark sees it."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from interlock.cli.decisions.markdown import block, code, one_line

READER = MarkdownIt("commonmark")
# Texts of the characters that mean something in Markdown, and of any others.
SAID = st.text(alphabet=st.one_of(st.sampled_from("`~ \n\\<>!-[]()*_@#|&"), st.characters(codec="utf-8")), max_size=40)


@given(SAID)
@example("`")
@example("``` @all")
@example("\\`<!-- ")
@example("")
def test_within_a_sentence_it_is_one_piece_of_code(text: str) -> None:
    found = READER.parseInline(f"so {code(text)} then")[0].children or []
    assert [token.type for token in found] == ["text", "code_inline", "text"]
    assert found[1].content == (one_line(text).replace("\0", "\ufffd") or " ")


@given(st.lists(SAID, min_size=1, max_size=4))
@example(["```", "# then a heading"])
@example(["~~~", "````` ", "<script>"])
def test_on_lines_of_its_own_it_is_one_block(lines: list[str]) -> None:
    fence, after, *_ = READER.parse(f"{block(lines)}\n\nthen")
    assert (fence.type, after.type) == ("fence", "paragraph_open")
    assert len(fence.content.splitlines()) == len(lines)


def test_a_long_line_is_cut() -> None:
    assert len(one_line("word " * 200)) == 300
