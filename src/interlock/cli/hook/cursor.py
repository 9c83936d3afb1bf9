"""The hooks of Cursor.

Contract: https://cursor.com/docs/agent/hooks, as of September 2026: `.cursor/hooks.json`, version 1. An event is JSON on stdin,
the answer is flat JSON on stdout with exit code 0; exit code 2 blocks, and every other one does not unless the entry says
`failClosed`. `ask` acts as `deny` in some versions, so it is not used, and neither is `allow`: whatever we do not refuse
goes the way that it would go without us.

preToolUse            an edit that adds a hazard is refused; the page does not say what the input of `Write` holds, so what has
                      none of the forms in `edits` is let through, and is seen after it was written
postToolUse           what is in the file and is new since the last commit is said
afterFileEdit         likewise, on stderr alone: this event takes no answer
beforeShellExecution  a command that leaves out git's hooks is told of, on stderr alone
stop                  what is in the work tree and is new since the last commit is sent as a message, once
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.cli.hook.bypass import bypass_in
from interlock.cli.hook.edits import edit_of
from interlock.cli.hook.event import Answer
from interlock.cli.hook.seen import in_edit, in_file, in_work_tree
from interlock.cli.hook.told import cut, facts

if TYPE_CHECKING:
    from interlock.check.run import Report
    from interlock.cli.hook.event import Event


def answer(event: Event) -> Answer:
    """The answer to an event. It is always an object, because silence counts as a failed hook."""
    match event.text("hook_event_name"):
        case "preToolUse":
            return _before(event)
        case "postToolUse":
            told = _in_file(event.part("tool_input").first_of("file_path", "path"), event)
            return Answer({"additional_context": told}, told) if told else Answer({})
        case "afterFileEdit":
            return Answer({}, _in_file(event.text("file_path"), event))
        case "beforeShellExecution":
            bypass = bypass_in(event.text("command"))
            return Answer({}, f"this command leaves out the hooks of the repository ({bypass})" if bypass else "")
        case "stop":
            return _at_the_end(event)
        case _:
            return Answer({})


def _before(event: Event) -> Answer:
    edit = edit_of(event.part("tool_input"), _folders(event)[0])
    report = in_edit(edit) if edit else None
    if report is None or not report.findings:
        return Answer({})
    reason = facts(report, "that this edit adds")
    return Answer({"permission": "deny", "user_message": reason, "agent_message": reason}, reason)


def _in_file(name: str | None, event: Event) -> str:
    return facts(in_file(_folders(event)[0] / name), "since the last commit") if name is not None else ""


def _at_the_end(event: Event) -> Answer:
    if event.text("status", "completed") != "completed":
        return Answer({})
    told = cut(_told(in_work_tree(folder), folder) for folder in _folders(event)).strip()
    is_first = event.number("loop_count", 0) == 0  # Said once already; more would turn in circles.
    return Answer({"followup_message": told} if told and is_first else {}, told)


def _told(report: Report, folder: Path) -> str:
    return facts(report, f"in the work tree of {folder.name} since the last commit") if report.findings else ""


def _folders(event: Event) -> list[Path]:
    """The folders that are open in the editor."""
    named = event.texts("workspace_roots") or [os.environ.get("CURSOR_PROJECT_DIR", ".")]
    return [Path(name) for name in named]
