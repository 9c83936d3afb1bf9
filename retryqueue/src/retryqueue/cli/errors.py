"""How a verb ends early."""

from __future__ import annotations


class UsageError(Exception):
    """An argument is not right, so that nothing was tried: exit code 2."""


class NoQueue(Exception):
    """There is no queue of this name, so that nothing was tried: exit code 1."""


class WorldError(Exception):
    """Something outside did not do its part, such as a full disk: exit code 3."""
