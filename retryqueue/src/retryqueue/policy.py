"""How often, how soon and for how long: the numbers of a queue, refused together where they would break a promise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retryqueue.errors import InvalidPolicy

if TYPE_CHECKING:
    import random

DAY_MS = 86_400_000
MOST_ATTEMPTS = 1000
LONGEST_MS = 366 * DAY_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The numbers of a queue. Every process that shares a queue should use the same ones.

    Attributes:
        attempts: How often a payment is tried before it becomes a dead letter, or goes to reconcile if money may have moved.
        lease_ms: How long a worker holds a payment without a sign of life.
        backoff_base_ms: The longest wait after the first attempt; it doubles with each further one.
        backoff_cap_ms: The longest wait after any attempt.
        longest_delay_ms: The longest delay that a caller may ask for.
        paid_horizon_ms: How long after a payment succeeded the same key is still answered with that success; a day or longer.
        key_life_ms: How long a key lives at least, from its first use; by default 24 h, or the horizons together if they
            are longer. The key of a payment that is not settled never dies.
        provider_window_ms: How long to rely on the provider's memory of an idempotency key: by default an hour less than the 24
            hours that Stripe promises. A payment whose answer is still unknown by then is never sent again but goes to
            reconcile.

    Raises:
        InvalidPolicy: With every number that would break a promise.
    """

    attempts: int = 5
    lease_ms: int = 30_000
    backoff_base_ms: int = 1_000
    backoff_cap_ms: int = 3_600_000
    longest_delay_ms: int = DAY_MS
    paid_horizon_ms: int = DAY_MS
    key_life_ms: int | None = None
    provider_window_ms: int = DAY_MS - 3_600_000

    def __post_init__(self) -> None:
        problems = self._not_counts()
        if not problems:  # The comparisons need numbers.
            problems = self._broken_promises()
        if problems:
            raise InvalidPolicy("; ".join(problems))

    @property
    def retry_horizon_ms(self) -> int:
        """The longest time from enqueueing to the last attempt's end, if workers are there and each attempt takes its lease."""
        waits = sum(self.backoff_limit_ms(attempt) for attempt in range(1, self.attempts))
        return self.longest_delay_ms + waits + self.attempts * self.lease_ms

    @property
    def key_lives_ms(self) -> int:
        """How long a key lives at least, from its first use."""
        shortest = max(DAY_MS, self.retry_horizon_ms + self.paid_horizon_ms)
        return shortest if self.key_life_ms is None else self.key_life_ms

    def backoff_limit_ms(self, attempt: int) -> int:
        """The longest wait after this attempt (1-based)."""
        return int(min(self.backoff_cap_ms, self.backoff_base_ms << min(attempt - 1, 40)))

    def backoff_ms(self, attempt: int, chance: random.Random) -> int:
        """The wait after this attempt: anything up to its limit ("full jitter").

        A common delay would let everything that failed together come back together.
        Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
        """
        return chance.randint(0, self.backoff_limit_ms(attempt))

    def _not_counts(self) -> list[str]:
        least = {"attempts": 1, "lease_ms": 10, "backoff_base_ms": 1, "provider_window_ms": 1, "paid_horizon_ms": DAY_MS}
        given = {name: getattr(self, name) for name in self.__slots__ if name != "key_life_ms" or self.key_life_ms is not None}
        return [
            f"{name} must be a whole number from {least.get(name, 0)} to {LONGEST_MS}, found {value!r}"
            for name, value in given.items()
            if not _is_count(value) or not least.get(name, 0) <= value <= LONGEST_MS
        ]

    def _broken_promises(self) -> list[str]:
        problems: list[str] = []
        if self.attempts > MOST_ATTEMPTS:
            problems.append(f"attempts must be at most {MOST_ATTEMPTS}, found {self.attempts}")
        elif self.key_lives_ms < max(DAY_MS, self.retry_horizon_ms + self.paid_horizon_ms):
            problems.append(
                f"key_life_ms must be at least {DAY_MS} (24 h) and at least {self.retry_horizon_ms + self.paid_horizon_ms} "
                f"(the retry horizon of {self.retry_horizon_ms} and paid_horizon_ms of {self.paid_horizon_ms}), or a repeat "
                f"could be charged again; found {self.key_life_ms}"
            )
        if self.lease_ms >= self.provider_window_ms:
            problems.append(
                f"lease_ms must be shorter than provider_window_ms of {self.provider_window_ms}, found {self.lease_ms}"
            )
        return problems


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
