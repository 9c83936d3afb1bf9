"""A payment retry queue on Redis: each payment charged exactly once, whatever crashes.

payment      what is charged, and the key that names it
queue        enqueue, look, operate; blocking and asyncio
worker       charges what is due
policy       how often, how soon, for how long
outcome      what one attempt has told
lua/         the transitions: where the promises are kept
"""

from retryqueue.breaker import Breaker
from retryqueue.errors import (
    InvalidPayment,
    InvalidPolicy,
    NotDurable,
    PaymentConflict,
    QueueUnavailable,
    RetryQueueError,
    ServerRefused,
    ShardMismatch,
    WrongState,
)
from retryqueue.outcome import Ambiguous, Declined, Outcome, Succeeded
from retryqueue.payment import Payment
from retryqueue.policy import Policy
from retryqueue.queue import AsyncRetryQueue, RetryQueue
from retryqueue.states import Item, Lease, Receipt, State, Status
from retryqueue.worker import Worker

__version__ = "0.1.0"

__all__ = [
    "Ambiguous",
    "AsyncRetryQueue",
    "Breaker",
    "Declined",
    "InvalidPayment",
    "InvalidPolicy",
    "Item",
    "Lease",
    "NotDurable",
    "Outcome",
    "Payment",
    "PaymentConflict",
    "Policy",
    "QueueUnavailable",
    "Receipt",
    "RetryQueue",
    "RetryQueueError",
    "ServerRefused",
    "ShardMismatch",
    "State",
    "Status",
    "Succeeded",
    "Worker",
    "WrongState",
]
