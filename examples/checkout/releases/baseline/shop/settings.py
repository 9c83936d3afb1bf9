"""What the shop needs to know about where it runs; read from the environment once, at the start."""

import os
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the database and the payment provider are."""

    database_url: str
    provider_url: str
    provider_key: str = field(repr=False)  # A secret: it must not reach a log.

    @classmethod
    def from_environment(cls) -> "Settings":
        """Raises KeyError if a variable is missing: a shop that cannot be paid should not start."""
        return cls(
            database_url=os.environ["SHOP_DATABASE_URL"],
            provider_url=os.environ["SHOP_PROVIDER_URL"],
            provider_key=os.environ["SHOP_PROVIDER_KEY"],
        )
