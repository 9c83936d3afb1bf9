"""Reads YAML files of a team's: rules, routes, manifests. The one place that knows which library does it."""

from __future__ import annotations

from typing import Any, cast

from interlock.core.errors import UsageError


def documents(name: str, content: bytes) -> list[dict[str, Any]]:
    """The mappings in a file, one or several, parted by `---`. An empty one is none.

    Raises:
        UsageError: If it is not YAML, or holds something else.
    """
    try:  # A tenth of a second that only those pay who have such files.
        from ruamel.yaml import YAML  # noqa: PLC0415
        from ruamel.yaml.error import YAMLError  # noqa: PLC0415
    except ModuleNotFoundError as error:
        message = f"ruamel.yaml is not installed; {name} cannot be read without it: pip install 'interlock[gate]'"
        raise UsageError(message) from error
    loader: Any = YAML(typ="safe", pure=True)
    try:
        found: list[object] = [document for document in loader.load_all(content.decode()) if document is not None]
    except (YAMLError, UnicodeDecodeError) as error:
        message = f"{name}: is not YAML: {' '.join(str(error).split())[:300]}"
        raise UsageError(message) from error
    if not all(isinstance(document, dict) for document in found):
        message = f"{name}: holds something else than mappings"
        raise UsageError(message)
    return cast("list[dict[str, Any]]", found)


def mapping(around: dict[str, Any], key: str) -> dict[str, Any]:
    """The mapping under a key; an empty one, if there is none."""
    value: object = around.get(key)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def mappings(around: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The mappings in the list under a key; none, if there is no list."""
    value: object = around.get(key)
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]
