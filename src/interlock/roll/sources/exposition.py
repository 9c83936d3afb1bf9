"""One gauge of the canary, read from the page that the canary itself shows to Prometheus.

For a limit that does not wait for the next scrape, such as the connections in use: a leak of one connection a request has used
up a pool of a hundred in 24 seconds, at 4 requests a second.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Final

from interlock.core.errors import WorldError
from interlock.roll.fetching import check_address, fetched
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
        check_address("metrics are", self.url)

    @property
    def name(self) -> str:
        """What it is called when it falls silent."""
        return f"{self.gauge} at {self.url}"

    def poll(self) -> Sequence[Reading]:
        """Its value now. Nothing if the page does not have it: no data is not zero."""
        _, body = fetched(self.url, _DEADLINE_S)
        found = re.findall(rf"^{re.escape(self.gauge)}(?:{{[^}}]*}})? (\S+)", body.decode(errors="replace"), re.MULTILINE)
        try:
            value = sum(map(float, found))
        except ValueError as error:
            message = f"{self.url} tells of {self.gauge} what is no number: {error}"
            raise WorldError(message) from error
        # No number is no reading: compared with a limit, it would be within it.
        return [Reading(name=self.gauge, arm=Arm.CANARY, value=value)] if found and not isnan(value) else []

    def idle(self) -> bool:
        """Nobody can tell silence from a break here."""
        return False

    def close(self) -> None:
        """There is nothing to give back."""
