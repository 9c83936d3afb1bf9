"""HAProxy, driven through its runtime socket: the share is an entry of a map, changed without a reload.

One change takes about a third of a millisecond, and no request fails because of it. Server weights would do for a share of a
percent and more, but they keep no user on one side, and nothing ends them if nobody is left to do so.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from interlock.core.errors import WorldError
from interlock.roll.routers import Setting

if TYPE_CHECKING:
    from pathlib import Path

_DEADLINE_S: Final = 2.0
_SALT: Final = re.compile(r"[A-Za-z0-9]{1,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Haproxy:
    """A running HAProxy with the section of `haproxy_config`."""

    socket: Path
    map: Path  # as HAProxy's configuration names it

    def read(self) -> Setting:
        """The map as it is in HAProxy's memory."""
        entries = dict(line.split()[1:3] for line in self.ask(f"show map {self.map}").splitlines() if len(line.split()) > 2)  # noqa: PLR2004 - address, key, value
        try:
            return Setting(limit=int(entries["limit"]), salt=entries["salt"], until_s=int(entries["until"]))
        except (KeyError, ValueError):
            message = f"HAProxy's map {self.map} holds {entries}; expected limit, salt and until"
            raise WorldError(message) from None

    def write(self, setting: Setting) -> None:
        """Changes the map in HAProxy's memory. The limit is lowered first and raised last."""
        if not _SALT.fullmatch(setting.salt):
            message = f"a salt {setting.salt!r}; expected letters and digits"
            raise ValueError(message)
        now = self.read()
        others = [("salt", setting.salt), ("until", str(setting.until_s))]
        limit = ("limit", str(setting.limit))
        entries = [limit, *others] if setting.limit < now.limit else [*others, limit]
        answer = self.ask("; ".join(f"set map {self.map} {key} {value}" for key, value in entries))
        found = self.read()
        if found != setting:
            message = f"HAProxy was told {setting} and does {found}: {answer.strip() or 'it gave no reason'}"
            raise WorldError(message)

    def ask(self, commands: str) -> str:
        """The answer to some commands. Raises WorldError if there is none."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_DEADLINE_S)
                connection.connect(str(self.socket))
                connection.sendall(f"{commands}\n".encode())
                answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode(errors="replace")
        except OSError as error:
            message = f"HAProxy at {self.socket} did not answer within {_DEADLINE_S:.0f} s: {error}"
            raise WorldError(message) from error
        if refused := re.search(r"^(Unknown|Permission denied|entry not found|.*[Ii]nvalid).*", answer, re.MULTILINE):
            message = f"HAProxy at {self.socket} refused `{commands}`: {refused[0]}"
            raise WorldError(message)
        return answer
