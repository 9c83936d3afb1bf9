"""Whose word counts: keys that the base declares, verified with OpenSSH's `ssh-keygen -Y`.

A file in a change is written by what is being judged. A signature says who ran the guard; the key must be one that the change
cannot reach, and the list of keys is read from the base.

[[signer]]
name = "ci@shop.example"
trust = "ci"
key = "ssh-ed25519 AAAAC3..."
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Self

from interlock.core.errors import UsageError, WorldError, nearest
from interlock.core.settings import strict, tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interlock.core.settings import Document

NAMESPACE: Final = "interlock-evidence"  # A signature made for anything else does not count.


class Trust(StrEnum):
    """Who vouches for a piece of evidence, the weakest first."""

    SELF = "self"  # whoever wrote the change
    CI = "ci"  # a machine whose key no change can reach
    HUMAN = "human"  # a person
    RECOMPUTED = "recomputed"  # nobody needs to: the gate worked it out itself

    def is_at_least(self, other: Trust) -> bool:
        """Whether it is as good as another."""
        ranks = list(Trust)
        return ranks.index(self) >= ranks.index(other)


@dataclass(frozen=True, slots=True)
class Signer:
    """A key, and what its word is worth."""

    name: str
    trust: str
    key: str  # as in a `.pub` file

    @classmethod
    def all_of(cls, document: Document) -> tuple[Self, ...]:
        """The signers of a project. Raises UsageError if one is not declared right."""
        signers = tuple(strict(document, cls, table, "signer") for table in tables(document, "signer"))
        for signer in signers:
            if signer.trust not in {Trust.CI, Trust.HUMAN}:
                message = (
                    f"trust of signer {signer.name!r} is {signer.trust!r}; {nearest(signer.trust, [Trust.CI, Trust.HUMAN])}"
                )
                raise document.fail("trust", message)
            if len(signer.key.split()) < 2 or "\n" in signer.key or any(character.isspace() for character in signer.name):  # noqa: PLR2004 - a kind and a key.
                raise document.fail("key", f"signer {signer.name!r} needs a name without spaces and a key as in a .pub file")
            if sum(other.name == signer.name for other in signers) > 1:
                raise document.fail("name", f"signer {signer.name!r} is declared more than once: whose word is it?")
        return signers


def sign(path: Path, key: Path) -> Path:
    """Signs a file, and answers with the signature's.

    Raises:
        UsageError: If the key cannot be used.
        WorldError: If there is no ssh-keygen.
    """
    done = _run(["-Y", "sign", "-n", NAMESPACE, "-f", str(key), str(path)])
    if done.returncode:
        message = f"{path} cannot be signed with {key}: {done.stderr.decode(errors='replace').strip()}"
        raise UsageError(message)
    return path.with_name(f"{path.name}.sig")


def trust_in(path: Path, signers: Sequence[Signer]) -> tuple[Trust, str]:
    """How much a file's word is worth, and who vouches for it; without a good signature it is its author's own.

    Raises:
        WorldError: If it is signed, and there is no ssh-keygen.
    """
    signature = path.with_name(f"{path.name}.sig")
    if not signature.is_file() or not signers:
        return Trust.SELF, "nobody"
    with TemporaryDirectory(prefix="interlock-signers-") as folder:
        allowed = Path(folder, "allowed")
        # One at a time: a name is a pattern to ssh-keygen, and `*` would take another one's key for its own.
        for signer in signers:
            allowed.write_text(f'{signer.name} namespaces="{NAMESPACE}" {" ".join(signer.key.split()[:2])}\n')
            given = ["-f", str(allowed), "-I", signer.name, "-n", NAMESPACE, "-s", str(signature)]
            if _run(["-Y", "verify", *given], path.read_bytes()).returncode == 0:
                return Trust(signer.trust), signer.name
    return Trust.SELF, "nobody whom the base knows"


def _run(arguments: list[str], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("ssh-keygen")
    if program is None:
        message = "no ssh-keygen on this machine (it comes with OpenSSH), so signatures cannot be made or verified"
        raise WorldError(message)
    return subprocess.run([program, *arguments], input=given, capture_output=True, check=False)  # noqa: S603 - no shell.
