"""Background worker that retries failed payments: `python -m shop.worker`."""

import logging
import time

import redis

from shop.app import open_shop
from shop.settings import Settings

logger = logging.getLogger(__name__)

POLL_INTERVAL_S = 1.0


def run() -> None:
    """Process due retries until the process is stopped."""
    shop = open_shop(Settings.from_environment())
    while True:
        try:
            shop.retries.process_retries()
        except redis.RedisError:
            logger.exception("Redis is unavailable, retrying in %.0f s", POLL_INTERVAL_S)
        time.sleep(POLL_INTERVAL_S)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    run()
