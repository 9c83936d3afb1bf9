"""A finding's fingerprint: it stays the same when lines move, and no two findings of a run have the same one."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from interlock.core.finding import Finding


def fingerprinted(findings: Iterable[Finding]) -> Iterator[tuple[Finding, str]]:
    """Each finding with its fingerprint, 32 hexadecimal digits. Those that look alike are told apart by their order."""
    seen: Counter[tuple[str, ...]] = Counter()
    for finding in findings:
        yield finding, digest(*finding.identity, str(seen[finding.identity]))
        seen[finding.identity] += 1


def digest(*parts: str) -> str:
    """32 hexadecimal digits that stand for these parts."""
    return sha256("\0".join(parts).encode(errors="replace")).hexdigest()[:32]
