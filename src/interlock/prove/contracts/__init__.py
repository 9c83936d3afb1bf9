"""What a user promises of a module, one ready contract a file; `@contract` is for a promise of one's own.

A ready contract is what a function under `@contract` returns: it says how the module is asked to do things, and a few
figures that it promises. The scenarios in which such promises are broken come with it.
"""

from interlock.prove.contract import contract
from interlock.prove.contracts.cache import Cache, Origin
from interlock.prove.contracts.ledger import Ledger, Transfer
from interlock.prove.contracts.lock import Lock
from interlock.prove.contracts.rate_limit import RateLimit
from interlock.prove.contracts.retry_queue import Payment, RetryQueue
from interlock.prove.contracts.unique_identity import UniqueIdentity

__all__ = ["Cache", "Ledger", "Lock", "Origin", "Payment", "RateLimit", "RetryQueue", "Transfer", "UniqueIdentity", "contract"]
