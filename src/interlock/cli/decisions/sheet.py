"""One self-contained HTML page: the verdict, each question with what it rests on, and pictures of what can be drawn."""

from __future__ import annotations

from datetime import UTC
from html import escape
from typing import TYPE_CHECKING, Any, Final

from interlock.cli.decisions.drawing import STYLE
from interlock.cli.decisions.pictures import ages, course, stages
from interlock.cli.page import page, verdict
from interlock.core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.cli.decisions.ruling import Ruling
    from interlock.gate.question import Asked

_STRIP: Final = """
.strip { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .5rem; padding: 0; list-style: none;
}
.strip li { border: 1px solid var(--rule); border-top: 5px solid var(--faint); border-radius: 4px; padding: .4rem .6rem; }
.strip li.pass { border-top-color: var(--good); } .strip li.fail { border-top-color: var(--bad); }
.strip li.unknown { border-top-color: var(--open); } .strip li.spared { border-top-style: dashed; }
.strip a { color: var(--ink); text-decoration: none; display: block; font-size: .85rem; line-height: 1.3; }
.seen { white-space: pre-wrap; overflow-wrap: anywhere; } code { overflow-wrap: anywhere; }
ul { padding-left: 1.2rem; }
"""


def told(ruling: Ruling) -> str:
    """The page."""
    return page("interlock gate", "\n".join(_body(ruling)), STYLE + _STRIP)


def _body(ruling: Ruling) -> Iterator[str]:
    decision, moment = ruling.decision, ruling.change.moment
    yield f"<h1>May this change ship? {verdict(decision.verdict)}</h1>"
    yield f"<p>{escape(ruling.reason)}{f' ({escape(ruling.dry_run)})' if ruling.dry_run else ''}</p>"
    yield f'<p class="faint">{escape(ruling.range)}, judged {moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC</p>'
    yield f'<ol class="strip">{"".join(map(_cell, decision.asked))}</ol>'
    on_record = ages([ground for asked in decision.asked for ground in asked.answer.grounds], moment)
    if on_record:
        yield f'<h2>How old the evidence is</h2><div class="picture">{on_record}</div>'
    for asked in decision.asked:
        yield from _section(asked, ruling)
    if decision.set_aside:
        yield f"<h2>Waivers that do not count</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in decision.set_aside)}</ul>"


def _cell(asked: Asked) -> str:
    spared = "" if asked.required else " spared"
    word = _word(asked) + ("" if asked.required else ' <span class="faint">not needed</span>')
    name = escape(asked.name)
    return f'<li class="{asked.answer.verdict}{spared}"><a href="#{name}">{word}<br>{escape(asked.question.text)}</a></li>'


def _word(asked: Asked) -> str:
    return verdict(asked.answer.verdict, asked.word)


def _section(asked: Asked, ruling: Ruling) -> Iterator[str]:
    answer = asked.answer
    yield f'<h2 id="{escape(asked.name)}">{escape(asked.question.text)} {_word(asked)}</h2>'
    yield f"<p>{escape(answer.answer)}</p>"
    if asked.waiver:
        yield f"<p><strong>{escape(asked.waiver.told)}</strong></p>"
    yield from (f'<div class="picture">{picture}</div>' for picture in _pictures(asked) if picture)
    if answer.evidence:
        seen = "".join(f"<li>{escape(line)}</li>" for line in answer.evidence)
        yield f'<ul class="seen">{seen}</ul>'
    if answer.grounds:
        rests = "".join(f"<li>{escape(ground.told(ruling.change.moment))}</li>" for ground in answer.grounds)
        yield f'<ul class="faint">{rests}</ul>'
    if answer.verdict is Verdict.UNKNOWN:
        needed = "" if asked.required else ' <span class="faint">(not needed for this change)</span>'
        yield f"<p>To answer it: <code>{escape(asked.question.prove_with)}</code>{needed}</p>"


def _pictures(asked: Asked) -> Iterator[str]:
    """Of the figures that an answer carries, those that can be drawn."""
    facts: dict[str, Any] = dict(asked.answer.facts)
    for release in facts.get("releases", []):
        yield f"<h3>{escape(release['name'])}</h3>" + stages(release, facts["first_step_max"])
    for drill in facts.get("drills", []):
        drawn = course(drill)
        yield f"<h3>{escape(drill['feature'])}: {escape(drill['answer'])}</h3>{drawn}" if drawn else ""
