"""Releases on Kubernetes: Argo Rollouts moves the traffic, the judge says when to stop. See docs/argo.md.

render   prints the manifests that [roll.argo] declares
lint     holds manifests against your cluster's CRDs and against the checks of Argo's controller
serve    is the address that Argo's analyses ask
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.cli.settings import project_around
from interlock.core.counting import counted
from interlock.core.errors import UsageError
from interlock.core.verdict import Verdict
from interlock.core.yaml_files import documents, written
from interlock.roll.argo import manifests as rendered
from interlock.roll.argo.checks import problems
from interlock.roll.argo.declared import load_argo
from interlock.roll.argo.schema import refused, schemas

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from interlock.cli.console import Console

HELP = "release on Kubernetes: manifests for Argo Rollouts, and the judge that it asks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    kinds = parser.add_subparsers(dest="argo", required=True, metavar="COMMAND")
    render = kinds.add_parser("render", help="print the manifests that [roll.argo] declares")
    render.add_argument("--container", action="store_true", help="print the container file of the judge instead")
    lint = kinds.add_parser("lint", help="hold manifests against CRDs and the controller's checks")
    lint.add_argument("paths", nargs="+", type=Path, metavar="FILE", help="manifests")
    crds = "CRDs of your cluster: kubectl get crd -o yaml rollouts.argoproj.io analysistemplates.argoproj.io"
    lint.add_argument("--crds", nargs="+", type=Path, default=[], metavar="FILE", help=crds)
    serve = kinds.add_parser("serve", help="answer Argo's analyses")
    serve.add_argument("--host", default="0.0.0.0", help="where to listen (default: everywhere)")  # noqa: S104 - in a pod.
    serve.add_argument("--port", type=int, default=8700, help="(default: 8700)")
    serve.add_argument("--state", type=Path, default=Path(".interlock", "argo"), metavar="DIR", help="where releases are kept")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Does what is asked, and answers with an exit code."""
    match arguments.argo:
        case "render":
            return _render(arguments, console)
        case "lint":
            return _lint(arguments, console)
        case _:
            return _serve(arguments, console)


def _render(arguments: argparse.Namespace, console: Console) -> int:
    if arguments.container:
        console.result(Path(rendered.__file__).with_name("Containerfile").read_text(encoding="utf-8").rstrip())
        return 0
    argo = load_argo(project_around(Path.cwd()).document)
    console.result(written(rendered.manifests(argo)).rstrip())
    return 0


def _lint(arguments: argparse.Namespace, console: Console) -> int:
    manifests = [one for path in arguments.paths for one in documents(str(path), _read(path))]
    known = schemas([one for path in arguments.crds for one in documents(str(path), _read(path))])
    found = list(dict.fromkeys([*_shapes(manifests, known), *problems(manifests)]))
    unseen = sorted({str(one.get("kind")) for one in manifests if _is_argo(one) and _key(one) not in known})
    console.result(
        "\n".join([*found, *(f"unknown: the shape of each {kind}: no CRD of it was given (--crds)" for kind in unseen)])
    )
    console.note(f"{counted(len(manifests), 'manifest')}, {counted(len(found), 'problem')}, {console.elapsed_s:.2f} s")
    return (Verdict.FAIL if found else Verdict.UNKNOWN if unseen else Verdict.PASS).exit_code


def _shapes(manifests: list[dict[str, Any]], known: dict[tuple[str, str], dict[str, Any]]) -> Iterator[str]:
    for one in manifests:
        if _key(one) in known:
            name = one.get("metadata", {}).get("name")
            yield from (f"{one['kind']} {name}: {problem}" for problem in refused(one, known[_key(one)]))


def _key(manifest: dict[str, Any]) -> tuple[str, str]:
    return str(manifest.get("apiVersion")), str(manifest.get("kind"))


def _is_argo(manifest: dict[str, Any]) -> bool:
    return str(manifest.get("apiVersion")).startswith("argoproj.io/")


def _serve(arguments: argparse.Namespace, console: Console) -> int:
    from interlock.roll.argo.server import serving  # noqa: PLC0415 - an HTTP server, which the others do without.

    argo = load_argo(project_around(Path.cwd()).document)
    with serving(argo, arguments.state, arguments.host, arguments.port) as server:
        console.note(f"judging {argo.name} on port {server.server_port}")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            console.note("ended; what is known of each release is kept")
    return 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
        raise UsageError(message) from error
