"""Evidence: what a guard has seen, of which files, and when; kept so that it can be held against a change later.

One claim is one file. Its body is an in-toto Statement (v1), its name the SHA-256 of its bytes, so that an edited file is no
evidence any more, and two branches never write the same file differently. It is bound to the *content* of the files that it is
about, by their git blob ids: they outlive a squash and a rebase, which commit ids do not.

Where in-toto has a predicate for what was seen, the claim is framed by it, so that other verifiers can read it; ours stands in
it as an extension field, whose name is a URI as in-toto asks for.

Source: https://github.com/in-toto/attestation/tree/main/spec, at 051624c: v1, predicates/svr.md and predicates/test-result.md
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, cast

from interlock import __version__
from interlock.core.errors import UsageError, WorldError
from interlock.core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FOLDER: Final = Path(".interlock", "evidence")
_STATEMENT: Final = "https://in-toto.io/Statement/v1"
_PREDICATE: Final = "urn:interlock:evidence:{kind}:v1"
_ON_RECORD: Final = re.compile(rf"{re.escape(FOLDER.as_posix())}/[a-z-]+/[0-9a-f]{{64}}\.json(\.sig)?")
_OWN: Final = re.compile(r"urn:interlock:evidence:(?P<kind>[^:]+):v1")
SIMPLE_VERIFICATION_RESULT: Final = "https://in-toto.io/attestation/svr/v0.2"
TEST_RESULT: Final = "https://in-toto.io/attestation/test-result/v0.1"


@dataclass(frozen=True, slots=True)
class Frame:
    """A predicate of in-toto's, around our own."""

    predicate_type: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One claim."""

    kind: str  # the guard that makes it: prove, roll, drill, rehearsal, ...
    verdict: Verdict
    subjects: Mapping[str, str]  # path, relative to the project, with forward slashes -> git blob id of its content
    made_at: datetime  # with a time zone
    command: tuple[str, ...] = ()  # what makes it again
    made_by: str = field(default=f"interlock {__version__}")
    found: Mapping[str, Any] = field(default_factory=dict[str, Any])  # the guard's own facts, as JSON has them
    frame: Frame | None = None  # None where in-toto has no predicate for it

    def as_json(self) -> bytes:
        """The bytes of its file: the same for the same claim. A name that is no text (PEP 383) is escaped as JSON does it."""
        own = {
            "verdict": self.verdict,
            "madeAt": self.made_at.astimezone(UTC).isoformat(timespec="seconds"),
            "madeBy": self.made_by,
            "command": list(self.command),
            "found": dict(self.found),
        }
        own_type = _PREDICATE.format(kind=self.kind)
        framed = {**self.frame.fields, own_type: own} if self.frame else own
        statement = {
            "_type": _STATEMENT,
            "subject": [{"name": path, "digest": {"gitBlob": blob}} for path, blob in sorted(self.subjects.items())],
            "predicateType": self.frame.predicate_type if self.frame else own_type,
            "predicate": framed,
        }
        return json.dumps(statement, indent=1, sort_keys=True, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"

    @classmethod
    def of_json(cls, content: bytes, where: str) -> Self:
        """The claim that some bytes make.

        Raises:
            UsageError: If they make none.
        """
        try:
            statement = cast("dict[str, Any]", json.loads(content))
            if statement["_type"] != _STATEMENT:
                raise ValueError(statement["_type"])  # noqa: TRY301 - told below.
            kind, predicate, frame = _unframed(str(statement["predicateType"]), cast("dict[str, Any]", statement["predicate"]))
            return cls(
                kind=kind,
                verdict=Verdict(predicate["verdict"]),
                subjects={str(subject["name"]): str(subject["digest"]["gitBlob"]) for subject in statement["subject"]},
                made_at=_with_zone(datetime.fromisoformat(predicate["madeAt"])),
                command=tuple(map(str, predicate["command"])),
                made_by=str(predicate["madeBy"]),
                found=dict(predicate["found"]),
                frame=frame,
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            message = f"{where}: no evidence of interlock: {type(error).__name__}: {error}; expected an in-toto Statement v1"
            raise UsageError(message) from error

    def stale_paths(self, contents: Callable[[str], bytes | None]) -> list[str]:
        """The files that it is about and that are not what they were, or are gone. One that never was there is gone, too.

        Args:
            contents: Gives the bytes of a path in the tree under judgement, or None if it is not there.
        """
        return [path for path, blob in sorted(self.subjects.items()) if not blob or git_blob(contents(path)) != blob]


def _unframed(predicate_type: str, predicate: dict[str, Any]) -> tuple[str, dict[str, Any], Frame | None]:
    """The kind of a predicate, our own part of it, and what frames that. Raises ValueError if it is none of ours."""
    if own := _OWN.fullmatch(predicate_type):
        return own["kind"], predicate, None
    names = [name for name in predicate if _OWN.fullmatch(name)]
    if predicate_type not in {SIMPLE_VERIFICATION_RESULT, TEST_RESULT} or len(names) != 1:
        message = f"a predicate of {predicate_type} with {len(names)} of ours"
        raise ValueError(message)
    fields = {name: value for name, value in predicate.items() if name != names[0]}
    return names[0].split(":")[3], predicate[names[0]], Frame(predicate_type, fields)


def is_on_record(path: str) -> bool:
    """Whether a path of the project is that of evidence, or of a signature under it. No evidence is about such a one."""
    return _ON_RECORD.fullmatch(path) is not None


def git_blob(content: bytes | None) -> str:
    """The id that git gives to a file's content; empty if there is no file."""
    if content is None:
        return ""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def write(evidence: Evidence, project: Path) -> Path:
    """Keeps a claim under a project's folder of evidence, whole or not at all, and answers with its path.

    Raises:
        WorldError: If it cannot be written.
    """
    content = evidence.as_json()
    folder = project / FOLDER / evidence.kind
    path = folder / f"{hashlib.sha256(content).hexdigest()}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as part:
            part.write(content)
        os.replace(part.name, path)  # noqa: PTH105 - a name, not a path.
    except OSError as error:
        message = f"{folder}: the evidence cannot be kept: {error.strerror}"
        raise WorldError(message) from error
    return path


def read(path: Path) -> Evidence:
    """The claim that a file makes.

    Raises:
        UsageError: If it cannot be read, makes none, or was edited since it was written.
    """
    if path.exists() and not path.is_file():  # To read a pipe is to wait for it.
        message = f"{path}: is no plain file"
        raise UsageError(message)
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
        raise UsageError(message) from error
    if hashlib.sha256(content).hexdigest() != path.stem:
        message = f"{path}: was edited: its content does not have the SHA-256 that is its name"
        raise UsageError(message)
    return Evidence.of_json(content, str(path))


def _with_zone(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        message = f"a time without a zone: {moment}"
        raise ValueError(message)
    return moment
