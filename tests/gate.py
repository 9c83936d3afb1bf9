"""One of the gate's questions, asked through the command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.documented import disagreements

if TYPE_CHECKING:
    from tests.conftest import Git, Interlock


def answer_to(name: str, interlock: Interlock, git: Git, *arguments: str) -> dict[str, Any]:
    """The question of this name with its answer, for what is checked out; all of it is as docs/json.md says."""
    ran = interlock("gate", "--base", "main", "--format", "json", *arguments, folder=git.root)
    assert ran.out, ran.err
    told = json.loads(ran.out)
    assert disagreements("interlock gate", told) == []
    (found,) = [one for one in told["questions"] if one["name"] == name]
    return dict(found)
