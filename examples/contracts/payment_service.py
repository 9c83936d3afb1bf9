"""A payment service as it is usually written: FastAPI, SQLAlchemy on asyncpg, a lock in Redis, httpx and tenacity.

interlock prove examples/contracts/payment_service.py --budget 120s

A lock keeps two requests apart, but not a request from one whose process was killed after it had charged: only a key that the
provider recognises does. It needs fastapi, sqlalchemy, asyncpg, redis, httpx and tenacity.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Annotated

import httpx
import redis.asyncio
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.testclient import TestClient
from pydantic import BaseModel
from redis.exceptions import LockError, RedisError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from interlock.prove.contracts import contract

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from interlock.prove.world import World

PROVIDER = "http://api.pay.example/charges"
SCHEMA = "CREATE TABLE payments (id text PRIMARY KEY, state text NOT NULL)"


class Base(DeclarativeBase):
    """What SQLAlchemy maps."""


class Payment(Base):
    """A payment that was made."""

    __tablename__ = "payments"
    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]


class Order(BaseModel):
    """What a request asks for."""

    id: str
    amount_minor: int


@retry(stop=stop_after_attempt(3), wait=wait_exponential(max=5), retry=retry_if_exception_type(httpx.HTTPError), reraise=True)
async def charge(client: httpx.AsyncClient, order: Order, headers: Mapping[str, str]) -> None:
    """Asks the provider for the money, three times at most."""
    body = {"payment": order.id, "amount": order.amount_minor}
    (await client.post(PROVIDER, json=body, headers=headers)).raise_for_status()


async def session(request: Request) -> AsyncGenerator[AsyncSession]:
    """A session of the database for one request."""
    async with request.app.state.sessions() as one:
        yield one


def service(redis_url: str, dsn: str, *, has_key: bool) -> FastAPI:
    """The service, with its connections for as long as it runs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://"))
        app.state.sessions = async_sessionmaker(engine)
        async with redis.asyncio.Redis.from_url(redis_url) as app.state.redis, httpx.AsyncClient(timeout=5) as app.state.http:
            yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)

    @app.post("/payments")
    async def pay(order: Order, found: Annotated[AsyncSession, Depends(session)]) -> str:
        lock = app.state.redis.lock(f"payment:{order.id}", timeout=30, blocking_timeout=60)
        if not await lock.acquire():
            raise HTTPException(409)
        try:
            if await found.get(Payment, order.id) is None:
                await charge(app.state.http, order, {"Idempotency-Key": order.id} if has_key else {})
                found.add(Payment(id=order.id, state="paid"))
                await found.commit()
        finally:
            with suppress(LockError, RedisError):
                await lock.release()
        return "paid"

    return app


def _paid_once(world: World, *, has_key: bool) -> None:
    world.given_schema(SCHEMA)
    bank, redis_url, dsn = world.provider(PROVIDER), world.redis_url, world.postgres_dsn

    def ask() -> None:
        with TestClient(service(redis_url, dsn, has_key=has_key), raise_server_exceptions=False) as client:
            client.post("/payments", json={"id": "p1", "amount_minor": 500})

    world.run(ask)
    world.recover(ask, times=2, every_s=60)
    world.check(bank.charged_once("p1"))


@contract(workers=2, faults=1)
def by_a_lock_alone(world: World) -> None:
    """Whoever asks again after a crash charges again."""
    _paid_once(world, has_key=False)


@contract(workers=2, faults=1)
def by_a_lock_and_a_key(world: World) -> None:
    """The provider knows what it has charged."""
    _paid_once(world, has_key=True)
