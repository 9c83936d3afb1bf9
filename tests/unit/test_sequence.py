from __future__ import annotations

from xml.etree import ElementTree as ET

from interlock.cli.sequence import Arrow, sequence_diagram

SVG = "{http://www.w3.org/2000/svg}"
HISTORY = [
    Arrow(at_s=0, worker="worker A", place="Redis", said="GET <k>", answer="nothing"),
    Arrow(at_s=0, worker="worker B", place="bank", said="POST /charges", fault="crash after", is_last=True),
    Arrow(at_s=30, worker="worker A", place="worker A", said="sleep 30 s"),
    Arrow(at_s=30, worker="worker A", place="Redis", said="SET " + "x" * 100, answer="OK"),
]


def drawn(arrows: list[Arrow]) -> ET.Element:
    """The picture as a browser reads it; fails if it is no XML."""
    return ET.fromstring(sequence_diagram(arrows).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))  # noqa: S314 - our own.


def of_class(picture: ET.Element, name: str) -> list[ET.Element]:
    return [element for element in picture.iter() if name in element.get("class", "").split()]


def words(element: ET.Element) -> str:
    """What is shown: without what a pointer would have to rest on."""
    return "".join([element.text or "", *(child.tail or "" for child in element)])


def test_each_effect_is_an_arrow_and_each_wait_a_dot_in_their_order() -> None:
    picture = drawn(HISTORY)

    assert [words(text) for text in of_class(picture, "who")] == ["worker A", "worker B", "Redis", "bank"]
    assert (len(of_class(picture, "ask")), len(of_class(picture, "wait"))) == (3, 1)
    assert [words(text) for text in of_class(picture, "time")] == ["0.0 s", "0.0 s", "30.0 s", "30.0 s"]
    assert words(of_class(picture, "said")[0]) == "GET <k>"
    assert words(of_class(picture, "answer")[0]) == "→ nothing"


def test_a_fault_is_told_in_words_and_a_killed_worker_goes_no_further() -> None:
    picture = drawn(HISTORY)
    lives = {words(name): life for name, life in zip(of_class(picture, "who"), of_class(picture, "life"), strict=True)}

    assert [words(text) for text in of_class(picture, "struck") if text.tag == f"{SVG}text"] == ["✕ crash after"]
    assert len(of_class(picture, "end")) == 1
    assert int(lives["worker B"].get("y2", 0)) < int(lives["worker A"].get("y2", 0))


def test_a_long_label_is_cut_and_kept_whole_for_who_asks() -> None:
    label = of_class(drawn(HISTORY), "said")[-1]

    assert len(words(label)) == 58
    assert label.findtext(f"{SVG}title") == HISTORY[-1].said
