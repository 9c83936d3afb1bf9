"""Reads YAML files of a team's: rules, routes, manifests. The one place that knows which library does it."""

from __future__ import annotations

from io import StringIO
from typing import Any, cast

from interlock.core.errors import UsageError


def documents(name: str, content: bytes) -> list[dict[str, Any]]:
    """The mappings in a file, one or several, parted by `---`. An empty one is none.

    Raises:
        UsageError: If it is not YAML, or holds something else.
    """
    loader = _library(name)
    try:
        found: list[object] = [document for document in loader.load_all(content.decode()) if document is not None]
    except (loader.Error, ValueError, RecursionError) as error:  # A date that there is not is a ValueError.
        message = f"{name}: is not YAML: {' '.join(str(error).split())[:300]}"
        raise UsageError(message) from error
    if not all(isinstance(document, dict) for document in found):
        message = f"{name}: holds something else than mappings"
        raise UsageError(message)
    return cast("list[dict[str, Any]]", found)


def objects_in(name: str, content: bytes) -> list[dict[str, Any]]:
    """The objects of Kubernetes in a file, those inside of a `List` as well.

    Raises:
        UsageError: If it is not YAML, or holds something else.
    """
    found = documents(name, content)
    for one in found:  # It grows while it is gone through: a list may hold lists.
        if str(one.get("kind", "")).endswith("List"):
            found += mappings(one, "items")
    return found


def written(objects: list[dict[str, Any]]) -> str:
    """Some mappings as one file, parted by `---`, the keys in their order."""
    stream = StringIO()
    writer = _library("what is printed")
    writer.default_flow_style = False
    writer.width = 1000
    writer.representer.sort_base_mapping_type_on_output = False
    writer.representer.ignore_aliases = _everything  # What stands in two places is written twice.
    writer.dump_all(objects, stream)
    return stream.getvalue()


def _everything(_: object) -> bool:
    return True


def _library(name: str) -> Any:  # noqa: ANN401 - it has no types of its own.
    """The library, made ready. A tenth of a second that only those pay who have such files."""
    try:
        from ruamel.yaml import YAML  # noqa: PLC0415
        from ruamel.yaml.error import YAMLError  # noqa: PLC0415
    except ModuleNotFoundError as error:
        message = f"ruamel.yaml is not installed; {name} cannot be had without it: pip install 'interlock[gate]'"
        raise UsageError(message) from error
    library: Any = YAML(typ="safe", pure=True)
    library.Error = YAMLError
    return library


def mapping(around: dict[str, Any], key: str) -> dict[str, Any]:
    """The mapping under a key; an empty one, if there is none."""
    value: object = around.get(key)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def mappings(around: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The mappings in the list under a key; none, if there is no list."""
    value: object = around.get(key)
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]
