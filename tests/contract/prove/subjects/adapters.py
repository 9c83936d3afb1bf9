"""How the contracts ask each subject: what a user would write, once for each kind of module."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from interlock.prove.contracts import Cache, Ledger, Lock, Origin, RateLimit, RetryQueue, UniqueIdentity, contract

if TYPE_CHECKING:
    from interlock.prove.contract import Contract
    from interlock.prove.world import World


def of(module: str, subject: str) -> Contract:
    """The contract for a module that is a subject, or a mutant of it."""
    return _CONTRACTS[subject](importlib.import_module(module))


def lua_queue(module: Any) -> Contract:
    return _retry_queue(module.LuaQueue)


def plain_queue(module: Any) -> Contract:
    return _retry_queue(module.PlainQueue)


def stream_queue(module: Any) -> Contract:
    return _retry_queue(module.StreamQueue)


def outbox_queue(module: Any) -> Contract:
    return _retry_queue(module.OutboxQueue, module.SCHEMA)


def _address(world: World, schema: str) -> str:
    """Where the subject keeps what it keeps: a Postgres, if it has tables."""
    if not schema:
        return world.redis_url
    world.given_schema(schema)
    return world.postgres_dsn


def _retry_queue(kind: Any, schema: str = "") -> Contract:
    @contract
    def payments(world: World) -> RetryQueue:
        queue: Any = world.subject(kind, _address(world, schema))
        return RetryQueue(
            world.provider("http://api.pay.example/charges"),
            enqueue=lambda payment: queue().enqueue(payment.key, {"user": payment.user, "amount": payment.amount_minor}),
            process=lambda: queue().process(),
            dead_letters=lambda: queue().dead_letters(),
            to_reconcile=lambda: queue().unsure(),
            attempts=3,
            retry_after_s=(60, 120),
            known_for_s=2 * 24 * 3600,
        )

    return payments


def lock_queue(module: Any) -> Contract:
    @contract
    def payments(world: World) -> RetryQueue:
        queue: Any = world.subject(module.LockQueue, world.redis_url)
        return RetryQueue(
            world.provider("http://api.pay.example/charges"),
            enqueue=lambda payment: queue().enqueue(payment.key, payment.user, payment.amount_minor),
            process=lambda: queue().process(),
            dead_letters=lambda: queue().dead_letters(),
            to_reconcile=lambda: queue().unsure(),
            attempts=3,
            retry_after_s=(60, 120),
            known_for_s=2 * 24 * 3600,
        )

    return payments


def sign_up(module: Any) -> Contract:
    @contract
    def users(world: World) -> UniqueIdentity:
        users: Any = world.subject(module.Users, world.redis_url)
        return UniqueIdentity(lambda name: users().create(name), lambda identity: users().name_of(identity))

    return users


def ledger(module: Any) -> Contract:
    @contract
    def balances(world: World) -> Ledger:
        accounts: Any = world.subject(module.Accounts, _address(world, getattr(module, "SCHEMA", "")))
        return Ledger(
            open=lambda account, amount_minor: accounts().open(account, amount_minor),
            transfer=lambda t: accounts().transfer(t.key, t.source, t.target, t.amount_minor),
            balances=lambda: accounts().balances(),
        )

    return balances


def lock(module: Any) -> Contract:
    @contract
    def one_at_a_time(world: World) -> Lock:
        lock: Any = world.subject(module.Lock, _address(world, getattr(module, "SCHEMA", "")))
        return Lock(lambda: lock().acquire(), lambda token: lock().release(token), lease_s=30)

    return one_at_a_time


def rate_limit(module: Any, *, sliding: bool = True) -> Contract:
    @contract
    def calls(world: World) -> RateLimit:
        limit: Any = world.subject(module.RateLimit, world.redis_url)
        return RateLimit(lambda caller: limit().allow(caller), limit=3, window_s=60, sliding=sliding)

    return calls


def token_bucket(module: Any) -> Contract:
    """A full bucket, and what fills it up again meanwhile, may be used within one window."""
    return rate_limit(module, sliding=False)


def cache(module: Any) -> Contract:
    @contract
    def values(world: World) -> Cache:
        cache: Any = world.subject(module.Cache, world.redis_url)
        origin = Origin.of(world, "http://db.example/")
        return Cache(origin, lambda key: cache().read(key), lambda key, value: cache().write(key, value), ttl_s=300)

    return values


_CONTRACTS = {
    "cache": cache,
    "ledger": ledger,
    "ledger_postgres": ledger,
    "ledger_watched": ledger,
    "lock": lock,
    "lock_postgres": lock,
    "lock_queue": lock_queue,
    "lua_queue": lua_queue,
    "outbox_queue": outbox_queue,
    "plain_queue": plain_queue,
    "rate_limit": rate_limit,
    "sign_up": sign_up,
    "stream_queue": stream_queue,
    "token_bucket": token_bucket,
}
SUBJECTS = tuple(_CONTRACTS)
