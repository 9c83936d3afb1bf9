"""The hooks of Claude Code.

Contract: https://code.claude.com/docs/en/hooks, as of August 2026. An event is JSON on stdin. JSON on stdout with exit code 0
is the answer; exit code 2 blocks, and every other one does not. We never say `allow`, which would skip the question that the
user is asked: whatever we do not refuse goes the way that it would go without us.

PreToolUse   an edit that adds a hazard is refused; of a command that leaves out git's hooks, that is said
PostToolUse  what is in the file and is new since the last commit is said
Stop         what is in the work tree and is new since the last commit keeps the assistant at work, once
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from interlock.cli.hook.bypass import bypass_in
from interlock.cli.hook.edits import edit_of
from interlock.cli.hook.event import Answer
from interlock.cli.hook.seen import in_edit, in_file, in_work_tree
from interlock.cli.hook.told import facts

if TYPE_CHECKING:
    from interlock.cli.hook.event import Event

EDITS: Final = ("Edit", "MultiEdit", "Write")
SHELLS: Final = ("Bash", "PowerShell")


def answer(event: Event) -> Answer:
    """The answer to an event. One that we do not know of gets none."""
    match event.text("hook_event_name"):
        case "PreToolUse":
            return _before(event)
        case "PostToolUse":
            return _after(event)
        case "Stop" | "SubagentStop":
            return _at_the_end(event)
        case _:
            return Answer()


def _before(event: Event) -> Answer:
    tool, asked = event.text("tool_name"), event.part("tool_input")
    if tool in SHELLS:
        bypass = bypass_in(asked.text("command", ""))
        told = f"This command leaves out the hooks of the repository ({bypass}): what they check is not checked."
        return _said("PreToolUse", told) if bypass else Answer()
    edit = edit_of(asked, _folder(event)) if tool in EDITS else None
    report = in_edit(edit) if edit else None
    if report is None or not report.findings:
        return Answer()
    reason = facts(report, "that this edit adds")
    return Answer(_specific("PreToolUse", permissionDecision="deny", permissionDecisionReason=reason), reason)


def _after(event: Event) -> Answer:
    if event.text("tool_name") not in EDITS:
        return Answer()
    told = facts(in_file(_folder(event) / event.part("tool_input").text("file_path")), "since the last commit")
    return _said("PostToolUse", told) if told else Answer()


def _at_the_end(event: Event) -> Answer:
    report = in_work_tree(_folder(event))
    if not report.findings:
        return Answer()
    told = facts(report, "in the work tree since the last commit")
    if event.flag("stop_hook_active"):  # Said once already; more would turn in circles.
        return Answer({"systemMessage": told}, told)
    return Answer({"decision": "block", "reason": told}, told)


def _folder(event: Event) -> Path:
    return Path(event.text("cwd", "."))


def _said(name: str, told: str) -> Answer:
    return Answer(_specific(name, additionalContext=told), told)


def _specific(name: str, **fields: str) -> dict[str, Any]:
    return {"hookSpecificOutput": {"hookEventName": name, **fields}}
