"""The service: `uvicorn --factory shop.app:from_environment`."""

from functools import partial

import redis
from fastapi import FastAPI
from prometheus_client import make_asgi_app
from sqlalchemy import text

from shop import checkout
from shop.accounts import routes as accounts
from shop.context import CurrentShop, Shop
from shop.database import open_database
from shop.payments.provider import open_provider
from shop.payments.retry_queue import PaymentRetryQueue
from shop.settings import Settings


def create_app(shop: Shop) -> FastAPI:
    """The HTTP service of one shop."""
    app = FastAPI(title="Tea shop")
    app.state.shop = shop
    app.include_router(accounts.router)
    app.include_router(checkout.router)
    app.add_api_route("/healthz", healthz)
    app.mount("/metrics", make_asgi_app())
    return app


def from_environment() -> FastAPI:
    """The service as it is deployed."""
    return create_app(open_shop(Settings.from_environment()))


def open_shop(settings: Settings) -> Shop:
    """A shop with its connections."""
    sessions = open_database(settings.database_url)
    provider = open_provider(settings.provider_url, settings.provider_key)
    redis_client = redis.Redis.from_url(settings.redis_url, decode_responses=True, socket_timeout=2.0)
    retries = PaymentRetryQueue(redis_client, provider, partial(checkout.complete_order, sessions))
    return Shop(sessions, provider, retries)


def healthz(shop: CurrentShop) -> dict[str, str]:
    """Answers if the database does."""
    with shop.sessions() as session:
        session.execute(text("SELECT 1"))
    return {"status": "ok"}
