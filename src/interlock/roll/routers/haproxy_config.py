"""The lines of a haproxy.cfg that a rollout needs, and what is wrong with those that are there.

The map file on disk always says that nobody is on the canary. A rollout changes the map in HAProxy's memory alone, so that a
reload or a restart of HAProxy in its midst is safe: it reads the file, and all users are sent to the baseline.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from interlock.core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

MAP_TEXT: Final = "limit 0\nsalt none\nuntil 0\n"

_BEGIN: Final = "    # interlock roll: begin (written by `interlock roll haproxy`)"
_END: Final = "    # interlock roll: end"
_USER: Final = re.compile(r"(cookie|header) ([A-Za-z0-9_-]+)")
_ADMIN: Final = re.compile(r"^\s*stats\s+socket\s.*\blevel\s+admin\b", re.MULTILINE)
_PROCESSES: Final = re.compile(r"^\s*nbproc\s+(?!1\s*$)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What is to be known of a frontend."""

    map: Path  # the file that HAProxy reads when it starts
    log: str  # where the access log goes: a path of a socket, or host:port for UDP
    user: str = "cookie uid"  # what tells users apart: `cookie NAME` or `header NAME`
    baseline: str = "baseline"  # the names of the two backends
    canary: str = "canary"

    def text(self) -> str:
        """The lines to put into the frontend.

        Raises UsageError if a name could not stand in a haproxy.cfg.
        """
        for name in (str(self.map), self.log, self.baseline, self.canary):
            if not re.fullmatch(r"[\w./:@-]+", name):
                message = f"{name!r} cannot stand in a haproxy.cfg; expected letters, digits and any of ./:@_-"
                raise UsageError(message)
        return "\n".join([_BEGIN, *(f"    {line}" for line in self._lines()), _END]) + "\n"

    def _lines(self) -> list[str]:
        found = _USER.fullmatch(self.user)
        if found is None:
            message = f"user is {self.user!r}; expected 'cookie NAME' or 'header NAME'"
            raise UsageError(message)
        fetch = f"{'req.cook' if found[1] == 'cookie' else 'req.hdr'}({found[2]})"
        looked_up = [
            f"http-request set-var(txn.il_{name}) str({name}),map({self.map},{default})"
            for name, default in (("limit", "0"), ("salt", "none"), ("until", "0"))
        ]
        known = "{ var(txn.il_hash) -m found }"
        return [
            *looked_up,
            f"http-request set-var(txn.il_user) {fetch}",
            (
                "http-request set-var(txn.il_hash) var(txn.il_user),concat(:,txn.il_salt),xxh32(0)"
                " if { var(txn.il_user) -m len gt 0 }"
            ),
            f"http-request set-var(txn.il_bucket) var(txn.il_hash),mod(10000) if {known}",
            f"http-request set-var(txn.il_bucket) rand(10000) unless {known}",
            "http-request set-var(txn.il_left) date,neg,add(txn.il_until)",
            "http-request set-var(txn.il_limit) int(0) unless { var(txn.il_left) -m int gt 0 }",
            "http-request set-var(txn.il_over) var(txn.il_bucket),sub(txn.il_limit)",
            f"log {self.log} format raw local0",
            'log-format "interlock 1 %lc %b %ST %ts %Ta %[var(txn.il_hash)] %[var(txn.il_limit)]"',
            f"use_backend {self.canary} if {{ var(txn.il_over) -m int lt 0 }}",
            f"default_backend {self.baseline}",
        ]

    def lint(self, config: Path) -> list[str]:
        """What is wrong with a haproxy.cfg, in sentences; none if nothing is."""
        try:
            written = config.read_text(encoding="utf-8")
        except OSError as error:
            message = f"{config}: cannot be read: {error.strerror}"
            raise UsageError(message) from error
        wrong = [
            *_section_faults(written, self.text()),
            *(f"there is no `backend {name}`" for name in (self.baseline, self.canary) if not _has_backend(written, name)),
            *self._map_faults(),
        ]
        if not _ADMIN.search(written):
            wrong.append("there is no `stats socket PATH level admin`, through which the share is changed")
        if _PROCESSES.search(written):
            wrong.append("`nbproc` makes several processes, of which the socket reaches one; expected `nbthread`")
        return [f"{config}: {fault}" for fault in [*wrong, *_own_faults(config)]]

    def _map_faults(self) -> list[str]:
        try:
            found = self.map.read_text(encoding="utf-8")
        except OSError as error:
            return [
                f"{self.map}: cannot be read: {error.strerror}; expected a file with the lines {MAP_TEXT.split(chr(10))[:3]}"
            ]
        if found.split() == MAP_TEXT.split():
            return []
        return [f"{self.map}: holds {found.split()}; expected {MAP_TEXT.split()}, so that a restart sends nobody to the canary"]


def _section_faults(written: str, expected: str) -> list[str]:
    begin, end = written.find(_BEGIN), written.find(_END)
    if begin < 0 or end < begin:
        return ["the lines of `interlock roll haproxy` are not there"]
    if written[begin : end + len(_END)].split() != expected.split():
        return ["the lines of `interlock roll haproxy` differ from what it would write now; expected them unchanged"]
    between = written[:begin].rpartition("\nfrontend ")[2]
    early = re.search(r"^\s*(use_backend .*)$", between, re.MULTILINE)
    return [f"`{early[1]}` stands before the lines of `interlock roll haproxy`, and takes users away"] if early else []


def _has_backend(written: str, name: str) -> bool:
    return re.search(rf"^\s*backend\s+{re.escape(name)}\s*$", written, re.MULTILINE) is not None


def _own_faults(config: Path) -> list[str]:
    """What HAProxy itself says, if it is installed here."""
    haproxy = shutil.which("haproxy")
    if haproxy is None:
        return []
    done = subprocess.run([haproxy, "-c", "-q", "-f", str(config)], capture_output=True, encoding="utf-8", check=False)  # noqa: S603 - found on the path.
    return [f"haproxy -c: {done.stderr.strip()}"] if done.returncode else []
