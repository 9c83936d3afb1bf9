"""What a user promises of a module, one ready contract a file; `@contract` is for a promise of one's own.

A ready contract is what a function under `@contract` returns: it says how the module is asked to do things, and a few
figures that it promises. The scenarios in which such promises are broken come with it.
"""

from interlock.prove.contract import contract
from interlock.prove.contracts.retry_queue import Payment, RetryQueue

__all__ = ["Payment", "RetryQueue", "contract"]
