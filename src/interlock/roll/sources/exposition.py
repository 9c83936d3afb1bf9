"""One gauge of the canary, read from the page that the canary itself shows to Prometheus.

For a limit that does not wait for the next scrape, such as the connections in use: a leak of one connection a request has used
up a pool of a hundred in 24 seconds, at 4 requests a second.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.error import URLError
from urllib.request import urlopen

from interlock.core.errors import UsageError, WorldError
from interlock.roll.judge import Arm
from interlock.roll.sources import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

_DEADLINE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Exposition:
    """The gauge of this name at an address; its series are added up."""

    url: str
    gauge: str

    def __post_init__(self) -> None:
        """Raises UsageError if the address is none."""
        if not self.url.startswith(("http://", "https://")):
            message = f"metrics are at {self.url!r}; expected http:// or https://"
            raise UsageError(message)

    @property
    def name(self) -> str:
        """What it is called when it falls silent."""
        return f"{self.gauge} at {self.url}"

    def poll(self) -> Sequence[Reading]:
        """Its value now. Nothing if the page does not have it: no data is not zero."""
        try:
            with urlopen(self.url, timeout=_DEADLINE_S) as answer:  # noqa: S310 - the scheme was looked at.
                page = answer.read().decode(errors="replace")
        except (URLError, TimeoutError, ValueError) as error:
            message = f"{self.url} did not answer: {error}"
            raise WorldError(message) from error
        found = re.findall(rf"^{re.escape(self.gauge)}(?:{{[^}}]*}})? (\S+)", page, re.MULTILINE)
        return [Reading(name=self.gauge, arm=Arm.CANARY, value=sum(map(float, found)))] if found else []

    def idle(self) -> bool:
        """Nobody can tell silence from a break here."""
        return False

    def close(self) -> None:
        """There is nothing to give back."""
