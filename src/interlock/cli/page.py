"""One self-contained HTML page: no script, nothing fetched, readable in light and in dark, on paper and on a phone."""

from __future__ import annotations

from html import escape
from typing import Final

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1c2024; --faint: #6b737c; --paper: #ffffff; --rule: #d8dde2;
  --good: #18794e; --bad: #c62a2f; --open: #946800; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e8eaed; --faint: #9aa3ac; --paper: #16181b; --rule: #34393f;
  --good: #4cc38a; --bad: #ff6369; --open: #f0c000; }} }}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 76rem; margin: 2rem auto;
  padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; }}
h2 {{ font-size: 1.15rem; margin-top: 2.2rem; border-top: 1px solid var(--rule); padding-top: 1rem; }}
pre, code {{ font: 13px ui-monospace, monospace; }} pre {{ overflow-x: auto; }}
table {{ border-collapse: collapse; }}
th, td {{ text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--rule); }}
.pass {{ color: var(--good); }} .fail {{ color: var(--bad); }} .unknown {{ color: var(--open); }}
.verdict {{ font-weight: 700; }} .faint {{ color: var(--faint); }} .picture {{ overflow-x: auto; }}
{style}</style>
{body}
</html>
"""


def page(title: str, body: str, style: str = "") -> str:
    """A whole page.

    Args:
        title: As text.
        body: As HTML; whoever makes it has escaped what others have said.
        style: More rules.
    """
    return _PAGE.format(title=escape(title), body=body, style=style)


def verdict(word: str, told: str = "") -> str:
    """A verdict in its colour; the word itself says it as well, or another one in its place."""
    return f'<span class="verdict {escape(word)}">{escape(told or word)}</span>'
