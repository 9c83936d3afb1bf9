"""How the scenarios ask a user's functions: what they answer is checked, and what they raise is told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interlock.core.errors import UsageError
from interlock.prove.contract import SLIPS

if TYPE_CHECKING:
    from collections.abc import Callable


def check_functions(promise: object, *names: str) -> None:
    """Raises unless what was given under these names are functions.

    Raises:
        UsageError: If one is not.
    """
    for name in names:
        if not callable(found := getattr(promise, name)):
            raise UsageError(f"{type(promise).__name__}: found {found!r} as {name}, expected a function")


def check_counts(promise: object, *names: str) -> None:
    """Raises unless what was given under these names are numbers above zero.

    Raises:
        UsageError: If one is not.
    """
    for name in names:
        found = getattr(promise, name)
        if isinstance(found, bool) or not isinstance(found, int | float) or found <= 0:
            raise UsageError(f"{type(promise).__name__}: found {found!r} as {name}, expected a number above 0")


def refused(ask: Callable[..., Any], *args: object) -> Exception | None:
    """Asks, and answers with what was raised, if that is no slip of whoever wrote the contract."""
    try:
        ask(*args)
    except SLIPS:
        raise
    except Exception as refusal:  # noqa: BLE001 - whether it was right to refuse is judged in the end.
        return refusal
    return None


def until_heard(ask: Callable[[], Any], wait: Callable[[float], None], tries: int = 3) -> None:
    """Asks again a second later if it is told of an error, as a caller would that is not sure."""
    for number in range(1, tries + 1):
        try:
            ask()
        except SLIPS:
            raise
        except Exception:
            if number == tries:
                raise
            wait(1)
        else:
            return
