"""Lays the releases out as a git repository of their own: `python history.py DEST`.

Each folder of `releases/` is one commit: the files that it adds or changes, a `DELETED` list of those that it removes,
and `COMMIT.md`, whose first lines say who, when and on what:

    Author: Ada Lindqvist <ada@shop.example>
    Date: 2024-10-14T09:12:00+00:00
    Parent: baseline

    The commit message, with its trailers.

Each release becomes a branch of its own name. Authors, dates and contents are all given, so the commits have the same
hashes on every machine.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

RELEASES = Path(__file__).resolve().parent / "releases"
ROOT_RELEASE = "baseline"
NOT_CONTENT = ("COMMIT.md", "DELETED", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache")


class HistoryError(Exception):
    """The history cannot be laid out; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One commit."""

    name: str
    author: str
    email: str
    date: str
    parent: str | None
    message: str

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return RELEASES / self.name


def read_releases() -> list[Release]:
    """Every release, each after its parent."""
    waiting = {path.parent.name: _read(path) for path in sorted(RELEASES.glob("*/COMMIT.md"))}
    ordered: list[Release] = []
    while waiting:
        ready = [name for name, release in waiting.items() if release.parent in {None, *(done.name for done in ordered)}]
        if not ready:
            raise HistoryError(f"no parent is known for: {', '.join(waiting)}")
        ordered += [waiting.pop(name) for name in ready]
    return ordered


def lay_out(destination: Path, settings: Mapping[str, str] | None = None) -> list[Release]:
    """Makes the repository at `destination`, whole or not at all.

    Args:
        destination: A folder that does not exist or is empty.
        settings: What to write into the releases' `interlock.toml` in the place of what: one's own key, a free port.
    """
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise HistoryError(f"{destination} exists and is not an empty folder")
    releases = read_releases()
    destination.parent.mkdir(parents=True, exist_ok=True)
    # Beside the destination, so that the last step is one rename on one file system.
    building = Path(tempfile.mkdtemp(prefix=f".{destination.name}-", dir=destination.parent))
    try:
        _build(building, releases, settings or {})
        building.chmod(0o755)
        if destination.exists():
            destination.rmdir()
        building.rename(destination)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return releases


def _read(path: Path) -> Release:
    head, _, message = path.read_text(encoding="utf-8").partition("\n\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
    author = re.fullmatch(r"(.+) <(.+)>", fields.get("Author", ""))
    unknown = fields.keys() - {"Author", "Date", "Parent"}
    if author is None or "Date" not in fields or unknown or not message.strip():
        raise HistoryError(f"{path}: expected Author, Date, perhaps Parent, an empty line and a message")
    return Release(
        name=path.parent.name,
        author=author[1],
        email=author[2],
        date=fields["Date"],
        parent=fields.get("Parent"),
        message=message.strip() + "\n",
    )


def _build(repository: Path, releases: list[Release], settings: Mapping[str, str]) -> None:
    _git(repository, "init", "--quiet", "--template=", f"--initial-branch={ROOT_RELEASE}")
    for release in releases:
        _commit(repository, release, settings)
    _git(repository, "checkout", "--quiet", ROOT_RELEASE)


def _commit(repository: Path, release: Release, settings: Mapping[str, str]) -> None:
    if release.parent is not None:
        _git(repository, "checkout", "--quiet", "-b", release.name, release.parent)
    for removed in _removed(release):
        (repository / removed).unlink()
    for source in _content(release.folder):
        target = repository / source.relative_to(release.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        if source.name == "interlock.toml":
            _rewrite(target, settings)
    _git(repository, "add", "--all")
    _git(repository, "commit", "--quiet", "--cleanup=verbatim", "--file=-", release=release)


def _rewrite(path: Path, settings: Mapping[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for found, wanted in settings.items():
        if found not in text:
            raise HistoryError(f"{path.name} does not hold {found!r}")
        text = text.replace(found, wanted)
    path.write_text(text, encoding="utf-8")


def _removed(release: Release) -> list[str]:
    listed = release.folder / "DELETED"
    return listed.read_text(encoding="utf-8").split() if listed.exists() else []


def _content(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in NOT_CONTENT:
            continue
        if path.is_dir():
            yield from _content(path)
        else:
            yield path


def _git(repository: Path, *arguments: str, release: Release | None = None) -> None:
    """Runs git with nobody's settings but ours: no hooks, no signing, no line endings of the machine."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
    if release is not None:
        for role in ("AUTHOR", "COMMITTER"):
            environment[f"GIT_{role}_NAME"] = release.author
            environment[f"GIT_{role}_EMAIL"] = release.email
            environment[f"GIT_{role}_DATE"] = release.date
    settings = ("-c", "core.autocrlf=false", "-c", "core.fileMode=false", "-c", "init.defaultObjectFormat=sha1")
    try:
        subprocess.run(
            ["git", *settings, *arguments],
            cwd=repository,
            env=environment,
            input=release.message if release else "",
            encoding="utf-8",
            capture_output=True,
            check=True,
        )
    except FileNotFoundError:
        raise HistoryError("git is not installed") from None
    except subprocess.CalledProcessError as error:
        raise HistoryError(f"git {arguments[0]}: {error.stderr.strip()}") from None


def main() -> int:
    """Exit 0 if the repository was made, 2 if it cannot be."""
    parser = argparse.ArgumentParser(description="Lay the shop's releases out as a git repository.")
    parser.add_argument("destination", type=Path, metavar="DEST", help="a folder that does not exist or is empty")
    # A stop from outside unwinds like any other, so that the half-built folder goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    destination = parser.parse_args().destination.resolve()
    try:
        releases = lay_out(destination)
    except (HistoryError, OSError) as error:
        print(f"history.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(f"{destination}: {len(releases)} releases: {', '.join(release.name for release in releases)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
