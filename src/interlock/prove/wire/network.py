"""What a controlled socket asks of whoever stands behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from interlock.prove.scheduler import Run


class Wire(Protocol):
    """One connection's protocol.

    Attributes:
        patience_s: How long the client waits for what it has asked for; none for ever.
    """

    patience_s: float | None

    @property
    def expects(self) -> str:
        """What a client that receives now waits for, for people; empty if nothing will ever come."""
        ...

    def sent(self, data: bytes) -> bytes:
        """Takes what the client sends; answers with what it will receive."""
        ...

    def has_news(self) -> bool:
        """Whether the other end has something to say by itself, or has hung up."""
        ...

    def news(self) -> bytes:
        """What it says; nothing, if it has hung up."""
        ...

    def leave(self) -> None:
        """The client has closed its end in the middle of something."""
        ...

    def close(self) -> None:
        """The client has closed its end."""
        ...


class Network(Protocol):
    """Who is where."""

    def run(self) -> Run | None:
        """The schedule that is running."""
        ...

    def wire(self, address: object) -> Wire:
        """A new connection to an address.

        Raises:
            Uncontrolled: If nobody there is under control.
        """
        ...

    def numbered(self, host: str) -> str | None:
        """The number that a controlled host goes by; none if it is not controlled."""
        ...
