"""Settings are read strictly: what is not right is said, with its place and what would be right."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

import pytest

from interlock.check.run import CheckSettings
from interlock.core.errors import UsageError
from interlock.core.settings import Document, load, strict


@dataclass(frozen=True, slots=True, kw_only=True)
class Kitchen:
    """Settings to try things with."""

    name: str
    cups: int = 1
    open: bool = True
    teas: tuple[str, ...] = ()


def loaded(**files: str | bytes) -> Document:
    """The settings in these files, whose names have an underscore for the dot."""
    contents = {name.replace("_", "."): text if isinstance(text, bytes) else text.encode() for name, text in files.items()}
    return load(contents.get)


def kitchen(text: str) -> Kitchen:
    """The kitchen of an interlock.toml."""
    document = Document("interlock.toml", text, tomllib.loads(text))
    return strict(document, Kitchen, document.tables["kitchen"], "kitchen")


def complaint(text: str) -> str:
    """What is said of a kitchen that is not right."""
    with pytest.raises(UsageError) as error:
        kitchen(text)
    return str(error.value)


def test_what_is_right_is_read() -> None:
    assert kitchen('[kitchen]\nname = "Tea"\ncups = 2\nteas = ["green"]\n') == Kitchen(name="Tea", cups=2, teas=("green",))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('name = "Tea"\ncup = 2', "interlock.toml:3: unknown key 'cup' in kitchen; did you mean 'cups'?"),
        ('name = "Tea"\nzzz = 2', "interlock.toml:3: unknown key 'zzz' in kitchen; expected one of cups, name, open, teas"),
        ("cups = 2", "interlock.toml:1: kitchen has no 'name', which it needs"),
        ("name = 7", "interlock.toml:2: name in kitchen is '7'; expected a text"),
        ('name = "Tea"\n\n# Two.\ncups = "2"', "interlock.toml:5: cups in kitchen is '2'; expected a whole number"),
        ('name = "Tea"\ncups = true', "interlock.toml:3: cups in kitchen is 'True'; expected a whole number"),
        ('name = "Tea"\ncups = 2.0', "interlock.toml:3: cups in kitchen is '2.0'; expected a whole number"),
        ('name = "Tea"\nopen = 1', "interlock.toml:3: open in kitchen is '1'; expected true or false"),
        ('name = "Tea"\nteas = "green"', "interlock.toml:3: teas in kitchen is 'green'; expected a list of texts"),
        (
            'name = "Tea"\nteas = ["green", 2]',
            "interlock.toml:3: teas in kitchen is \"['green', 2]\"; expected a list of texts",
        ),
        (
            f"name = {['x' * 99]}".replace("'", '"'),
            f"interlock.toml:2: name in kitchen is {str(['x' * 99])[:40]!r}...; expected a text",
        ),
    ],
)
def test_what_is_not_right_is_said_with_its_place(lines: str, expected: str) -> None:
    assert complaint(f"[kitchen]\n{lines}\n") == expected


def test_what_should_be_a_table_and_is_none() -> None:
    assert complaint("kitchen = 3\n") == "interlock.toml:1: kitchen is '3'; expected a table"


def test_an_unknown_section_names_the_nearest_right_one() -> None:
    with pytest.raises(UsageError, match=r"^interlock\.toml:2: unknown section 'chekc'; did you mean 'check'\?$"):
        loaded(interlock_toml="\n[chekc]\n")
    with pytest.raises(UsageError, match=r"^pyproject\.toml:1: unknown section 'chekc'; did you mean 'check'\?$"):
        loaded(pyproject_toml="[tool.interlock.chekc]\n")


def test_without_a_file_every_setting_has_its_default() -> None:
    assert loaded().tables == {}
    assert CheckSettings.of(loaded()).exclude == ()


def test_they_may_be_in_pyproject_instead() -> None:
    document = loaded(pyproject_toml='[tool.interlock.check]\nexclude = [{ path = "a/*", reason = "b" }]\n')
    assert document.name == "pyproject.toml"
    assert CheckSettings.of(document).excludes("a/b.py")


@pytest.mark.parametrize("text", ["", "[project]\nname = 'shop'\n", "# interlock\n[tool.ruff]\n"])
def test_a_pyproject_that_does_not_speak_of_us_is_none_of_our_files(text: str) -> None:
    assert loaded(pyproject_toml=text, interlock_toml="[check]\n").name == "interlock.toml"


def test_they_must_not_be_in_both_files() -> None:
    with pytest.raises(UsageError, match=r"^settings are in interlock\.toml and in pyproject\.toml; expected one of them$"):
        loaded(interlock_toml="", pyproject_toml="[tool.interlock]\n")


def test_a_byte_order_mark_is_no_part_of_them() -> None:
    assert loaded(interlock_toml=b"\xef\xbb\xbf[check]\n").tables == {"check": {}}


@pytest.mark.parametrize(
    "content", [b"[check", b"\xff", b"a = 1\na = 2\n", b"\0", b"x = " + b"[" * 100_000, "[check]\n".encode("utf-16")]
)
def test_what_is_not_toml_is_said(content: bytes) -> None:
    with pytest.raises(UsageError, match=r"^interlock\.toml: is not TOML"):
        loaded(interlock_toml=content)


@pytest.mark.parametrize("text", ["tool = 'interlock'\n", "[tool]\ninterlock = 3\n", "[[tool]]\nname = 'interlock'\n"])
def test_a_pyproject_of_another_shape_is_a_mistake_of_the_user_or_none(text: str) -> None:
    try:
        document = loaded(pyproject_toml=text)
    except UsageError as error:
        assert "pyproject.toml" in str(error)  # noqa: PT017 - either outcome is right, a crash is not.
    else:
        assert document.tables == {}


@pytest.mark.parametrize(
    ("glob", "path", "excluded"),
    [
        ("vendor/**", "vendor/deep/a.py", True),
        ("vendor/**", "vendored/a.py", False),
        ("**/generated.py", "shop/deep/generated.py", True),
        ("shop/*.py", "shop/deep/a.py", False),
        ("shop/[ab].py", "shop/a.py", False),
        ("shop", "shop/deep/a.py", True),
        ("shop", "shop2/a.py", False),
    ],
)
def test_exclusions_are_globs_over_the_whole_path(glob: str, path: str, excluded: bool) -> None:  # noqa: FBT001 - a table.
    document = loaded(interlock_toml=f'[check]\nexclude = [{{ path = "{glob}", reason = "a reason" }}]\n')
    assert CheckSettings.of(document).excludes(path) is excluded
