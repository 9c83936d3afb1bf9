"""A file as the router, where there is none: services read from it which of their users are on the new side.

The file is small, is replaced whole, and ends by itself like every setting. A service reads it through `Flag`, or through an
OpenFeature client with the provider in `interlock.roll.openfeature`; the user's side is worked out from the user's id as
everywhere else, so that every service and every event agree on it.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

from interlock.core.errors import WorldError
from interlock.roll.buckets import BUCKETS, bucket_of, user_hash
from interlock.roll.routers import Setting

if TYPE_CHECKING:
    from pathlib import Path

_NOBODY: Final = Setting(limit=0, salt="none", until_s=0)


@dataclass(frozen=True, slots=True)
class FlagRouter:
    """Writes the file.

    Attributes:
        path: Where every service that asks can read it.
    """

    path: Path

    def read(self) -> Setting:
        """What the file says; nobody is on the canary while there is none. Raises WorldError if it cannot be understood."""
        try:
            return _setting(self.path.read_bytes())
        except FileNotFoundError:
            return _NOBODY
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f"{self.path}: is no flag file ({error!r}); expected what `interlock roll` has written"
            raise WorldError(message) from error

    def write(self, setting: Setting) -> None:
        """Replaces the file. Raises WorldError if it cannot be written."""
        part = self.path.with_name(f"{self.path.name}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                json.dump(asdict(setting), file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
        except OSError as error:
            message = f"{self.path}: the flag cannot be written: {error.strerror}"
            raise WorldError(message) from error


@dataclass(slots=True)
class Flag:
    """Reads the file, in a service. Looks whether it was replaced each time it is asked, which costs microseconds.

    What cannot be read, or has ended, sends everybody to the version before: no trouble with a flag puts users on a canary.
    """

    path: Path
    _setting: Setting = field(default=_NOBODY, init=False)
    _stamp: tuple[int, int] = field(default=(0, 0), init=False)

    def is_on(self, user: str) -> bool:
        """Whether a user is on the new side."""
        setting = self._now()
        return time.time() < setting.until_s and bucket_of(user_hash(user, setting.salt)) < setting.limit

    def _now(self) -> Setting:
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp != self._stamp:
                self._setting, self._stamp = _setting(self.path.read_bytes()), stamp
        except (OSError, ValueError, KeyError, TypeError):
            return _NOBODY
        return self._setting


def _setting(content: bytes) -> Setting:
    kept = json.loads(content)
    setting = Setting(limit=int(kept["limit"]), salt=str(kept["salt"]), until_s=int(kept["until_s"]))
    if not 0 <= setting.limit <= BUCKETS:
        message = f"limit {setting.limit}"
        raise ValueError(message)
    return setting
