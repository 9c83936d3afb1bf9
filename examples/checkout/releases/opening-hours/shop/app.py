"""The service: `uvicorn --factory shop.app:from_environment`."""

from fastapi import FastAPI
from prometheus_client import make_asgi_app
from sqlalchemy import text

from shop import checkout, opening_hours
from shop.accounts import routes as accounts
from shop.context import CurrentShop, Shop
from shop.database import open_database
from shop.payments.provider import open_provider
from shop.settings import Settings


def create_app(shop: Shop) -> FastAPI:
    """The HTTP service of one shop."""
    app = FastAPI(title="Tea shop")
    app.state.shop = shop
    app.include_router(accounts.router)
    app.include_router(checkout.router)
    app.include_router(opening_hours.router)
    app.add_api_route("/healthz", healthz)
    app.mount("/metrics", make_asgi_app())
    return app


def from_environment() -> FastAPI:
    """The service as it is deployed."""
    settings = Settings.from_environment()
    return create_app(
        Shop(open_database(settings.database_url), open_provider(settings.provider_url, settings.provider_key))
    )


def healthz(shop: CurrentShop) -> dict[str, str]:
    """Answers if the database does."""
    with shop.sessions() as session:
        session.execute(text("SELECT 1"))
    return {"status": "ok"}
