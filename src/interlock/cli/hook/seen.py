"""What `check` sees of an edit, of a file that was edited, and of all that is not committed. Only what is new is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.check.run import CheckSettings, Report, check_change, is_python
from interlock.cli.hook.edits import Edit, content_of
from interlock.cli.settings import project_around
from interlock.core.errors import UsageError
from interlock.source.module import is_test_path

if TYPE_CHECKING:
    from pathlib import Path

    from interlock.check.repository import Repository


def in_edit(edit: Edit) -> Report:
    """What an edit adds to a file."""
    project = project_around(edit.path.parent, holds_features=False)
    inside = project.inside(edit.path)
    if not is_python(inside, edit.after) or CheckSettings.of(project.document).excludes(inside):
        return Report()
    before = {} if edit.before is None else {inside: edit.before}
    report = check_change(before, {inside: edit.after}, project.hazards, is_test_path)
    if report.problems and edit.before is not None:
        stood = {problem.message for problem in check_change({}, before, project.hazards, is_test_path).problems}
        report.problems = [problem for problem in report.problems if problem.message not in stood]
    return report


def in_file(path: Path) -> Report:
    """What is in a file that was edited and was not in it at the last commit. Without a commit, everything in it is new."""
    after = content_of(path)
    if after is None:
        return Report()
    report = in_edit(Edit(path, None, after))
    if not report.findings and not report.problems:
        return report
    committed = _committed(path)
    return report if committed is None else in_edit(Edit(path, committed, after))


def _committed(path: Path) -> bytes | None:
    """What a file said at the last commit; None if there is none, or if it was not in it."""
    from interlock.check.repository import Repository  # noqa: PLC0415 - git is asked only if there is something to tell.

    repository = Repository.around(path.parent)
    head = _head(repository) if repository else None
    place = path.resolve()
    if repository is None or head is None or not place.is_relative_to(repository.root):
        return None
    inside = place.relative_to(repository.root).as_posix()
    return repository.contents(head, [inside]).get(inside)


def _head(repository: Repository) -> str | None:
    try:
        return repository.commit("HEAD")
    except UsageError:  # Nothing is committed yet.
        return None


def in_work_tree(around: Path) -> Report:
    """What is in the work tree of the repository around a folder, with untracked files, and was not in its last commit."""
    from interlock.check.repository import Repository  # noqa: PLC0415 - other events need none.

    repository = Repository.around(around)
    if repository is None:
        return Report()
    project = project_around(repository.root, holds_features=False)
    excludes = CheckSettings.of(project.document).excludes
    before, after = _sources(repository)
    kept = [{path: text for path, text in texts.items() if not excludes(path)} for texts in (before, after)]
    return check_change(kept[0], kept[1], project.hazards, is_test_path)


def _sources(repository: Repository) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The Python files that differ from the last commit, as they were and as they are. Without one, all of them do."""
    from interlock.check.run import changed_sources, may_be_python  # noqa: PLC0415 - with the work tree alone.

    head = _head(repository)
    if head is not None:
        return changed_sources(repository, head, None)
    places = {path: repository.root / path for path in repository.files(repository.root) if may_be_python(path)}
    contents = {path: place.read_bytes() for path, place in places.items() if place.is_file() and not place.is_symlink()}
    return {}, {path: content for path, content in contents.items() if is_python(path, content)}
