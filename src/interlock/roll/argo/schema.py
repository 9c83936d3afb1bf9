"""What the API server would refuse of a custom resource: its shape, by the schema in the user's own CRD.

Kubernetes' dialect of OpenAPI v3 is turned into JSON Schema: a field that the CRD does not name is an error here, as it is with
`kubectl apply --validate=strict`; values that may be a number or a text, and parts that are kept as they come, are allowed. CEL
rules are not evaluated.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions (structural schemas).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interlock.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


def schemas(crds: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """The schemas of some CRDs, by apiVersion and kind."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for crd in (one for document in crds for one in (document["items"] if document.get("kind") == "List" else [document])):
        if crd.get("kind") != "CustomResourceDefinition":
            continue
        group, kind = crd["spec"]["group"], crd["spec"]["names"]["kind"]
        for version in crd["spec"]["versions"]:
            found[f"{group}/{version['name']}", kind] = _strict(version["schema"]["openAPIV3Schema"], is_object=True)
    return found


def refused(manifest: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    """What the API server would refuse, a line each: where, and why.

    Raises:
        UsageError: If jsonschema is not installed.
    """
    try:
        from jsonschema import Draft7Validator  # type: ignore[import-untyped]  # noqa: PLC0415 - only who lints has it.
    except ModuleNotFoundError as error:
        message = "jsonschema is not installed; manifests cannot be held against CRDs without it: pip install 'interlock[argo]'"
        raise UsageError(message) from error
    validator: Any = Draft7Validator(schema)
    for problem in sorted(validator.iter_errors(manifest), key=lambda problem: list(map(str, problem.absolute_path))):
        where = ".".join(str(part) for part in problem.absolute_path) or "the object"
        yield f"{where}: {problem.message}"


def _strict(schema: dict[str, Any], *, is_object: bool = False) -> dict[str, Any]:
    """A part of a structural schema as JSON Schema."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    turned: dict[str, Any] = {key: schema[key] for key in _KEPT if key in schema}
    properties: dict[str, Any] = {name: _strict(part) for name, part in schema.get("properties", {}).items()}
    if is_object:
        properties |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    if properties:
        turned["properties"] = properties
        turned["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if isinstance(schema.get("additionalProperties"), dict):
        turned["additionalProperties"] = _strict(schema["additionalProperties"])
    if "items" in schema:
        turned["items"] = _strict(schema["items"])
    if schema.get("nullable") and "type" in turned:
        turned["type"] = [turned["type"], "null"]
    return turned


_KEPT = ("type", "enum", "required", "minimum", "maximum", "pattern", "minLength", "maxLength", "minItems", "maxItems")
