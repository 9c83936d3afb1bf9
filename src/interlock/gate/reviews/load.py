"""How much a change gives to read, beside how fast it was written.

A reader finds defects at up to about 400 lines an hour; beyond that, less and less. Source: J. Cohen et al., "Best Kept Secrets
of Peer Code Review", SmartBear 2006 (2,500 reviews at Cisco).
"""

from __future__ import annotations

from typing import Final

LINES_AN_HOUR: Final = 400


def load(lines: int, written_s: float) -> str:
    """`310 lines to read, about 47 min; written within 4 min`."""
    reading = _told(lines / LINES_AN_HOUR * 3600)
    written = f"; written within {_told(written_s)}" if written_s else ""
    return f"{lines:,} {'line' if lines == 1 else 'lines'} to read, about {reading}{written}"


def _told(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    hours, rest = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (rest, "min")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
