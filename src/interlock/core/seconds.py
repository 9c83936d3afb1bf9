"""How long something may take, as people write it."""

from __future__ import annotations

from interlock.core.errors import UsageError


def seconds(option: str, text: str) -> float:
    """`90`, `60s` or `2m`, in seconds.

    Raises:
        UsageError: If it is none of these.
    """
    number, unit = text.rstrip("sm"), text[len(text.rstrip("sm")) :]
    try:
        return float(number) * {"": 1, "s": 1, "m": 60}[unit]
    except (ValueError, KeyError):
        message = f"{option}: found {text!r}, expected seconds or minutes, such as 60s or 2m"
        raise UsageError(message) from None
