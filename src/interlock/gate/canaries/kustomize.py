"""Manifests that Kustomize alters before they reach the cluster, so that they do not say what is released.

Nothing is rendered here. Where a kustomization of the change patches what it lists, and a manifest is among that, it is said.
"""

from __future__ import annotations

from posixpath import dirname, join, normpath
from typing import TYPE_CHECKING, Any, Final, cast

from interlock.core.yaml_files import documents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

NAMES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_ALTERS: Final = (
    *("patches", "patchesStrategicMerge", "patchesJson6902", "replicas", "replacements"),
    *("components", "transformers", "helmCharts"),
)
_LISTS: Final = ("resources", "bases", "components")


def altered(files: Mapping[str, bytes], manifests: Iterable[str]) -> list[str]:
    """The kustomizations that alter manifests, a line each.

    Args:
        files: All kustomizations, by path.
        manifests: The paths of the manifests.

    Raises:
        UsageError: If one is not YAML.
    """
    read = {path: {key: one[key] for one in documents(path, content) for key in one} for path, content in files.items()}
    reached, grown = set(manifests), True
    while grown:  # An overlay may list another one, which lists the manifests.
        new = {path for path, one in read.items() if path not in reached and _lists(path, one, reached)}
        reached, grown = reached | new, bool(new)
    told = {path: [key for key in _ALTERS if one.get(key)] for path, one in read.items() if path in reached}
    return [f"{path} alters what it lists ({', '.join(keys)}), and is not rendered here" for path, keys in told.items() if keys]


def _lists(path: str, one: dict[str, Any], wanted: set[str]) -> bool:
    """Whether a kustomization lists one of some files, or a folder that holds one."""
    places = {normpath(join(dirname(path), entry)) for entry in _entries(one)}
    return any(name in places or not places.isdisjoint(_around(name)) for name in wanted)


def _around(name: str) -> Iterator[str]:
    while name := dirname(name):
        yield name


def _entries(one: dict[str, Any]) -> Iterator[str]:
    for key in _LISTS:
        value: object = one.get(key)
        items = cast("list[object]", value) if isinstance(value, list) else []
        yield from (item for item in items if isinstance(item, str))
