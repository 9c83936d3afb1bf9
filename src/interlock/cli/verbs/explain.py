"""Tells the story of one hazard, or lists all of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from interlock.cli.settings import project_around
from interlock.hazards.catalogue import named

if TYPE_CHECKING:
    import argparse

    from interlock.cli.console import Console
    from interlock.hazards.catalogue import Listing
    from interlock.hazards.hazard import Hazard

HELP = "tell the story of a hazard"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("hazard", nargs="?", metavar="NAME", help="family/name; without it, all hazards are listed")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Prints the story, or the list."""
    known = project_around(Path.cwd()).hazards
    console.result(_told(named(arguments.hazard, known), console) if arguments.hazard else _listed(known))
    return 0


def _listed(known: tuple[Listing, ...]) -> str:
    hazards = [listing.load() for listing in known]
    width = max(len(hazard.name) for hazard in hazards)
    lines = [f"{hazard.name:{width}}  {hazard.severity:8}  {hazard.story.failure}" for hazard in hazards]
    return "\n".join([*lines, "", "interlock explain NAME tells the story of one."])


def _told(hazard: Hazard, console: Console) -> str:
    story = hazard.story
    blocks = [f"{console.paint(hazard.name, 'bold')} ({hazard.severity})", story.failure]
    blocks += [f"{console.paint(heading, 'bold')}\n{text}" for heading, text in story.sections.items()]
    blocks += [f"{console.paint('What would show it in production', 'bold')}\n{hazard.signal}"]
    blocks += [
        f"{console.paint('Stopped', 'bold')}\n{_indented(hazard.bad[0])}",
        f"{console.paint('Let through', 'bold')}\n{_indented(hazard.good[0])}",
    ]
    blocks += [f"{console.paint('Sources', 'bold')}\n" + "\n".join(hazard.sources)]
    return "\n\n".join(blocks)


def _indented(example: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in example.strip("\n").splitlines())
