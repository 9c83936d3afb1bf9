"""How the gate's decision is printed, one file a form.

text        for a terminal: a page
data        JSON, for programs
places      SARIF: what has a place in the code; the rest as notifications
comment     Markdown: one comment on a pull request, edited in place, or the summary of a CI job
sheet       HTML: one page with pictures
checklist   Markdown: `DEPLOY_CHECKLIST.md`, ticked by evidence alone
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from interlock.cli.decisions.ruling import Ruling

# What is asked for with `--format`, and the module that writes it: only that one is imported.
FORMATS: Final = {
    "text": "text",
    "json": "data",
    "sarif": "places",
    "markdown": "comment",
    "checklist": "checklist",
    "html": "sheet",
}


def told(form: str, ruling: Ruling) -> str:
    """A decision in one of the forms."""
    text: str = import_module(f"{__name__}.{FORMATS[form]}").told(ruling)
    return text
