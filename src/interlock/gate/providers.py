"""Modules that talk to a payment or identity provider and belong to no declared feature: is the map of features whole?

Whom they talk to is told by imports, addresses and boto3 services; see providers.toml. Only what the change brings is asked
about: a module that talked to the provider before, or that moved from one place which nobody declares to another, is no news.
"""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.core.globs import matches
from interlock.gate.features import parsed
from interlock.source.module import is_test_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.gate.change import Change


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider, or one library for many."""

    name: str
    kind: str  # payment, identity
    why: str  # what can go wrong there
    imports: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    services: tuple[str, ...] = ()  # of boto3


@dataclass(frozen=True, slots=True)
class Contact:
    """A place where a module reaches for a provider."""

    path: str
    line: int
    provider: Provider
    what: str  # "imports stripe"

    def __str__(self) -> str:
        """For people."""
        return f"{self.path}:{self.line} {self.what} ({self.provider.name}: {self.provider.kind}; {self.provider.why})"


@cache
def providers() -> tuple[Provider, ...]:
    """The table."""
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return tuple(_provider(entry) for entry in table["provider"])


def _provider(entry: dict[str, Any]) -> Provider:
    lists = {name: tuple(value) for name, value in entry.items() if name not in {"name", "kind", "why"}}
    return Provider(entry["name"], entry["kind"], entry["why"], **lists)


def unclaimed(change: Change) -> list[Contact]:
    """Where the change makes a module that belongs to no feature talk to a provider that it did not talk to before."""
    before, after = change.sources
    gone = [path for path in before.keys() - after.keys() if not _is_claimed(change, path)]
    moved = {contact.provider for path in gone for contact in contacts(path, before[path])}
    found: list[Contact] = []
    for path in sorted(after):
        _, fresh = change.lines[path]
        known = {contact.provider for contact in contacts(path, before[path])} if path in before else moved
        new = {one.provider: one for one in reversed(list(contacts(path, after[path]))) if one.line in fresh}
        wanted = [contact for provider, contact in new.items() if provider not in known]
        if wanted and not is_test_path(path) and not _is_claimed(change, path):
            found += sorted(wanted, key=lambda contact: contact.line)
    return found


def _is_claimed(change: Change, path: str) -> bool:
    """Whether a file, or a changed piece of it, belongs to a feature, of whatever tier."""
    blocks = [block for block in change.blocks if block.path == path]
    return any(
        any(matches(path, glob) for glob in feature.paths) or any(True for block in blocks for _ in feature.reasons_in(block))
        for feature in change.features
    )


def contacts(path: str, content: bytes) -> Iterator[Contact]:
    """Every place where a module reaches for a provider, in source order."""
    if not any(needle in content for needle in _needles()):
        return
    tree = parsed(content)
    silent = set(_silent(tree))
    nodes = [node for node in ast.walk(tree) if isinstance(node, (ast.stmt, ast.expr)) and node not in silent]
    for node in sorted(nodes, key=lambda node: node.lineno):
        yield from (Contact(path, node.lineno, provider, what) for provider, what in _reached(node))


@cache
def _needles() -> tuple[bytes, ...]:
    """Texts, one of which is in every file that reaches for a provider."""
    found = [name.partition(".")[0] for provider in providers() for name in provider.imports]
    found += [text for provider in providers() for text in (*provider.hosts, *provider.services)]
    return tuple(text.encode() for text in found)


def _silent(tree: ast.Module) -> Iterator[ast.AST]:
    """What reaches for nobody: docstrings and other texts that stand alone, and imports for the type checker."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant() as text):
                yield text
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), body=body):
                yield from (inner for statement in body for inner in ast.walk(statement))
            case _:
                pass


def _reached(node: ast.stmt | ast.expr) -> Iterator[tuple[Provider, str]]:
    match node:
        case ast.Import(names=names):
            yield from (found for alias in names for found in _imported(alias.name))
        case ast.ImportFrom(module=str(module), names=names, level=0):
            found = list(_imported(module))
            yield from found or (one for alias in names for one in _imported(f"{module}.{alias.name}"))
        case ast.Constant(value=str(text)) if "." in text:
            yield from ((one, f"speaks of {host}") for one in providers() for host in one.hosts if _is_at(text, host))
        case ast.Call(func=ast.Attribute(attr="client" | "resource"), args=[ast.Constant(value=str(service)), *_]):
            yield from ((one, f"makes a client of {service}") for one in providers() if service in one.services)
        case _:
            pass


def _imported(name: str) -> Iterator[tuple[Provider, str]]:
    for provider in providers():
        if any(name == known or name.startswith(f"{known}.") for known in provider.imports):
            yield provider, f"imports {name}"


def _is_at(text: str, host: str) -> bool:
    """Whether a text is a host, one below it, or an address there."""
    _, scheme, rest = text.rpartition("://")
    name = (rest if scheme else text).partition("/")[0].partition(":")[0]
    return name == host or name.endswith(f".{host}")
