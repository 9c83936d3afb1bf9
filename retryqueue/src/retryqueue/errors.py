"""What can go wrong, as a tree.

RetryQueueError
├── InvalidPayment       a payment, key or delay that no provider should ever see; every bad field is named
├── PaymentConflict      the key is taken by another payment
├── InvalidPolicy        settings that would break a promise
├── WrongState           an operator asked for a step that the payment's state does not allow
├── ShardMismatch        the queue was made with another number of shards
├── NotDurable           the server would forget payments, and the caller asked for one that does not
├── QueueUnavailable     Redis did not answer in time; what was asked may or may not have been done
└── ServerRefused        Redis said no, and waiting will not help: a wrong password, a command that is not allowed
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence


class RetryQueueError(Exception):
    """Any error of this library."""


class InvalidPayment(RetryQueueError, ValueError):
    """A payment that must not be charged as it is.

    Attributes:
        problems: One sentence for each bad field, in the order of the fields.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[type[Self], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class PaymentConflict(RetryQueueError):
    """The key already stands for a payment with other contents, so one of the two is a mistake.

    Attributes:
        key: The key that both use.
        state: The state of the payment that came first.
    """

    def __init__(self, key: str, state: str) -> None:
        super().__init__(f"the key {key!r} already stands for another payment, which is {state}; two payments need two keys")
        self.key = key
        self.state = state

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        return type(self), (self.key, self.state)


class InvalidPolicy(RetryQueueError, ValueError):
    """Settings that would break a promise of the queue."""


class WrongState(RetryQueueError):
    """The payment is not in the state that this step starts from."""


class ShardMismatch(RetryQueueError):
    """The queue lives on another number of shards, so that one key could be stored twice."""


class NotDurable(RetryQueueError):
    """The server does not write what it accepts to disk, or throws keys away when memory is short."""


class QueueUnavailable(RetryQueueError, ConnectionError):
    """Redis did not answer in time. The call may have been carried out; making it again with the same key is safe."""


class ServerRefused(RetryQueueError):
    """Redis said no, and waiting will not help: a wrong password, a database that is not there, a command not allowed."""
