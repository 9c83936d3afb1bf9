"""What a rollback returns to: images that are named by digest, and old versions that are kept.

A tag can be moved: what it named when the rollback was rehearsed need not be what it names at night. With
`revisionHistoryLimit: 0` the cluster keeps no old version, and `rollout undo` finds nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from interlock.core.errors import UsageError
from interlock.core.globs import matches
from interlock.core.verdict import Verdict, worst
from interlock.core.yaml_files import mapping, mappings, objects_in
from interlock.gate.canaries.beside import name_of, target
from interlock.gate.canaries.manifests import CanarySettings
from interlock.gate.question import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from interlock.gate.change import Change

_DIGEST: Final = re.compile(r"@sha256:[0-9a-f]{64}$")
_SHIPPING: Final = ("Deployment", "StatefulSet", "DaemonSet", "Rollout")
_MOST_TOLD: Final = 6


def is_pinned(image: str) -> bool:
    """Whether an image is named by its content."""
    return bool(_DIGEST.search(image))


def answer(change: Change) -> Answer | None:
    """Whether what the change's manifests ship can be returned to; None if they ship nothing that shows."""
    settings = CanarySettings.of(change.settings)
    if settings is None:
        return None
    wanted = [path for path in change.repository.tree(change.head) if any(matches(path, glob) for glob in settings.manifests)]
    try:
        flaws = list(flawed(change.repository.contents(change.head, wanted), settings.releases))
    except UsageError:
        return None  # The question about the canary tells of it.
    if not flaws:
        return None
    verdict = worst(one for one, _ in flaws)
    told = (
        "the cluster keeps no old version" if verdict is Verdict.FAIL else "what a rollback returns to is not pinned by digest"
    )
    lines = [line for _, line in sorted(flaws, key=lambda flaw: flaw[0] is not Verdict.FAIL)]
    more = [f"and {len(lines) - _MOST_TOLD} more"] if len(lines) > _MOST_TOLD else []
    return Answer(verdict=verdict, answer=told, evidence=(*lines[:_MOST_TOLD], *more))


def flawed(files: dict[str, bytes], names: Sequence[str] = ()) -> Iterator[tuple[Verdict, str]]:
    """What keeps a rollback from returning to the very same thing: the verdict, and where, in words.

    Args:
        files: The manifests.
        names: Of the objects that ship the project; none for all of them.

    Raises:
        UsageError: If a file is not YAML.
    """
    objects = [(path, found) for path, content in files.items() for found in objects_in(path, content)]
    own = {name_of(found) for _, found in objects if not names or name_of(found) in names}
    own |= {target(found)[1] for _, found in objects if name_of(found) in own}
    for path, found in objects:
        if found.get("kind") in _SHIPPING and name_of(found) in own:
            yield from _flaws(path, files[path].decode(errors="replace"), found)


def _flaws(path: str, text: str, found: dict[str, Any]) -> Iterator[tuple[Verdict, str]]:
    spec = mapping(found, "spec")
    what = f"{found['kind']} {name_of(found)}"
    if spec.get("revisionHistoryLimit") == 0:
        yield (
            Verdict.FAIL,
            f"{path}{_line(text, 'revisionHistoryLimit', '0')}: {what} keeps no old version: revisionHistoryLimit: 0",
        )
    pod = mapping(mapping(spec, "template"), "spec")
    for container in (*mappings(pod, "initContainers"), *mappings(pod, "containers")):
        image = str(container.get("image", ""))
        if not is_pinned(image):
            where = f"{path}{_line(text, 'image', image)}"
            yield Verdict.UNKNOWN, f"{where}: {what} ships {image or 'an image that is not named'}; expected NAME@sha256:DIGEST"


def _line(text: str, key: str, value: str) -> str:
    """`:line` of the first place where a key has a value; nothing if it is written in another way."""
    pattern = re.compile(rf"""["']?{re.escape(key)}["']?\s*:\s*["']?{re.escape(value)}["']?\s*(?:[,}}#]|$)""")
    return next((f":{number}" for number, line in enumerate(text.splitlines(), start=1) if pattern.search(line)), "")
