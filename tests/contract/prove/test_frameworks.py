"""Web frameworks and what retries: FastAPI, Starlette's test client, asgiref's bridges as Django uses them, and tenacity."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
import redis
import redis.asyncio
import requests
from anyio.from_thread import run as run_in_the_loop
from asgiref.sync import async_to_sync, sync_to_async
from fastapi import BackgroundTasks, FastAPI, HTTPException
from fastapi.testclient import TestClient
from tenacity import AsyncRetrying, retry, stop_after_attempt, wait_exponential, wait_fixed

from interlock.cli.main import main
from interlock.core.verdict import Verdict
from interlock.prove.contract import contract
from interlock.prove.explore import Proof, prove
from interlock.prove.invariant import Invariant
from interlock.prove.wire.anyio_threads import controlled_anyio
from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from interlock.prove.world import World

pytestmark = pytest.mark.usefixtures("redis_server")

django_conf: Any = import_module("django.conf")  # Django has no types.
django_http: Any = import_module("django.http")
django_test: Any = import_module("django.test")

EXAMPLE = REPOSITORY / "examples" / "contracts" / "payment_service.py"
CHARGES = "http://api.pay.example/charges"
TAKEN = 409


class Users:
    """Sign-ups: looked for and then taken, or taken at once. A name that is there is nobody's any more."""

    def __init__(self, url: str, *, at_once: bool) -> None:
        self._url, self._at_once = url, at_once

    def create(self, name: str) -> None:
        with redis.Redis.from_url(self._url) as client:
            if self._at_once:
                is_new = client.hsetnx("users", name, "1")
            elif is_new := not client.hexists("users", name):
                client.hset("users", name, "1")
            if not is_new:
                raise HTTPException(TAKEN)
            client.rpush("created", name)

    async def create_async(self, client: redis.asyncio.Redis, name: str) -> None:
        if self._at_once:
            is_new: Any = await client.hsetnx("users", name, "1")
        elif is_new := not await client.hexists("users", name):
            await client.hset("users", name, "1")
        if not is_new:
            raise HTTPException(TAKEN)
        await client.rpush("created", name)


def in_threads(url: str, *, at_once: bool) -> FastAPI:
    """Functions that are not async, which a framework calls in threads."""
    app, users = FastAPI(), Users(url, at_once=at_once)
    app.post("/users/{name}")(users.create)
    return app


def in_the_loop(url: str, *, at_once: bool) -> FastAPI:
    """A client that is opened when the app starts."""
    users = Users(url, at_once=at_once)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with redis.asyncio.Redis.from_url(url) as app.state.client:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/users/{name}")
    async def create(name: str) -> None:
        await users.create_async(app.state.client, name)

    return app


def afterwards(url: str, *, at_once: bool) -> FastAPI:
    """What is done once the answer has been given."""
    app, users = FastAPI(), Users(url, at_once=at_once)

    def create(name: str) -> None:
        with suppress(HTTPException):
            users.create(name)

    @app.post("/users/{name}")
    def accept(name: str, tasks: BackgroundTasks) -> None:
        tasks.add_task(create, name)

    return app


async def by_transport(app: FastAPI) -> int:
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://shop.example") as client,
    ):
        return (await client.post("/users/ada")).status_code


def by_test_client(app: FastAPI) -> int:
    with TestClient(app) as client:
        return client.post("/users/ada").status_code


def by_test_client_without_a_start(app: FastAPI) -> int:
    return TestClient(app).post("/users/ada").status_code


def django_view(*, at_once: bool, is_async: bool) -> Callable[..., Any]:
    """A view of either kind, which is told the address of the server."""

    def create(request: Any) -> Any:
        status = 200
        try:
            Users(request.headers["server"], at_once=at_once).create("ada")
        except HTTPException as error:
            status = error.status_code
        return django_http.HttpResponse(status=status)

    async def create_async(request: Any) -> Any:
        url, status = request.headers["server"], 200
        async with redis.asyncio.Redis.from_url(url) as client:
            try:
                await Users(url, at_once=at_once).create_async(client, "ada")
            except HTTPException as error:
                status = error.status_code
        return django_http.HttpResponse(status=status)

    return create_async if is_async else create


@contextmanager
def django_with(view: Callable[..., Any]) -> Iterator[None]:
    """Django with this view alone. It can be set up once in a process: as for the tests of its ORM."""
    if not django_conf.settings.configured:
        django_conf.settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.postgresql"}}, USE_TZ=True)
        import_module("django").setup()
    urls: Any = ModuleType("urls")
    urls.urlpatterns = [import_module("django.urls").path("", view)]
    with django_test.override_settings(ROOT_URLCONF=urls, ALLOWED_HOSTS=["*"], MIDDLEWARE=[]):
        yield


def by_django_client(url: str) -> None:
    assert django_test.Client().get("/", headers={"server": url}).status_code in {200, TAKEN}


async def by_django_async_client(url: str) -> None:
    assert (await django_test.AsyncClient().get("/", headers={"server": url})).status_code in {200, TAKEN}


def by_flask(url: str, *, at_once: bool) -> None:
    app: Any = import_module("flask").Flask("shop")

    def create() -> tuple[str, int]:
        try:
            Users(url, at_once=at_once).create("ada")
        except HTTPException as error:
            return "", error.status_code
        return "", 200

    app.post("/users")(create)
    assert app.test_client().post("/users").status_code in {200, TAKEN}


def proof_of(task: Callable[[str], object]) -> Proof:
    """The proof that of two workers one creates a user."""

    @contract(workers=2, faults=0)
    def users(world: World) -> None:
        url = world.redis_url
        world.run(lambda: task(url))
        world.recover(lambda: None, times=1)

        def broken() -> str | None:
            created = world.redis("LLEN", "created")
            return None if created == 1 else f"created {created} times"

        world.check(Invariant("created once", broken))

    return prove(users, budget_s=120)


@pytest.mark.parametrize(
    ("app", "way"),
    [
        (in_threads, by_transport),
        (in_threads, by_test_client_without_a_start),
        (in_the_loop, by_transport),
        (in_the_loop, by_test_client),
        (afterwards, by_test_client),
    ],
)
def test_requests_to_an_app_are_carried_out_in_every_order(app: Callable[..., FastAPI], way: Callable[[FastAPI], Any]) -> None:
    broken = proof_of(lambda url: way(app(url, at_once=False)))
    right = proof_of(lambda url: way(app(url, at_once=True)))

    assert broken.violation is not None, broken.reason
    assert broken.violation.broken == ("created 2 times",)
    assert (right.verdict, right.reason) == (Verdict.PASS, "")
    assert right.schedules > 2


@pytest.mark.parametrize("ask", [by_django_client, by_django_async_client])
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("at_once", [False, True])
def test_views_of_django_are_carried_out_in_every_order(ask: Callable[[str], Any], *, is_async: bool, at_once: bool) -> None:
    with django_with(django_view(at_once=at_once, is_async=is_async)):
        proof = proof_of(ask)

    assert proof.verdict is (Verdict.PASS if at_once else Verdict.FAIL), proof.reason


@pytest.mark.parametrize("at_once", [False, True])
def test_requests_to_flask_are_carried_out_in_every_order(at_once: bool) -> None:  # noqa: FBT001 - both.
    proof = proof_of(lambda url: by_flask(url, at_once=at_once))

    assert proof.verdict is (Verdict.PASS if at_once else Verdict.FAIL), proof.reason


def test_with_another_anyio_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """In anyio 3 there is no such class, and its threads are seen as threads."""
    monkeypatch.delattr("anyio._backends._asyncio.AsyncIOBackend")
    before = anyio.from_thread.start_blocking_portal
    with controlled_anyio(lambda: None):
        assert anyio.from_thread.start_blocking_portal is before


@pytest.mark.parametrize("at_once", [False, True])
def test_what_is_async_may_be_called_from_where_nothing_is(at_once: bool) -> None:  # noqa: FBT001 - both.
    def task(url: str) -> None:
        async def create() -> None:
            async with redis.asyncio.Redis.from_url(url) as client:
                try:
                    await Users(url, at_once=at_once).create_async(client, "ada")
                except HTTPException:
                    await sync_to_async(client.get_connection_kwargs)()

        async_to_sync(create)()

    assert proof_of(task).verdict is (Verdict.PASS if at_once else Verdict.FAIL)


@pytest.mark.usefixtures("postgres_server")
def test_the_service_of_the_examples_charges_again_after_a_crash(capsys: pytest.CaptureFixture[str]) -> None:
    """FastAPI, SQLAlchemy, asyncpg, redis, httpx and tenacity, as they are."""
    assert main(["prove", f"{EXAMPLE}::by_a_lock_alone", "--budget", "300s"]) == 1

    told = capsys.readouterr().out
    assert "** crash after" in told
    assert "BROKEN: p1 was charged twice" in told
    assert "confirmed in real processes: 5 of 5, 5 SIGKILLs" in told


@pytest.mark.parametrize("at_once", [1, 2])
def test_no_more_go_to_threads_at_once_than_a_limiter_lets(at_once: int) -> None:
    async def two_in_threads(url: str) -> None:
        limiter, users = anyio.CapacityLimiter(at_once), Users(url, at_once=False)

        def create() -> None:
            with suppress(HTTPException):
                users.create("ada")

        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(lambda: anyio.to_thread.run_sync(create, limiter=limiter))

    @contract(workers=1, faults=0)
    def users(world: World) -> None:
        url = world.redis_url
        world.run(lambda: two_in_threads(url))
        world.recover(lambda: None, times=1)
        world.check(Invariant("created once", lambda: None if world.redis("LLEN", "created") == 1 else "created twice"))

    assert prove(users, budget_s=120).verdict is (Verdict.PASS if at_once == 1 else Verdict.FAIL)


def test_a_thread_that_waits_for_its_event_loop_is_unknown() -> None:
    async def nothing() -> None: ...

    async def by_asgiref() -> None:
        await asyncio.to_thread(async_to_sync(nothing))

    async def by_anyio() -> None:
        await anyio.to_thread.run_sync(run_in_the_loop, nothing)

    def by_trio() -> None:
        with anyio.from_thread.start_blocking_portal("trio"):
            pass

    unknown: list[tuple[Callable[[], Any], str]] = [
        (by_asgiref, "asgiref's async_to_sync"),
        (by_anyio, "anyio.from_thread"),
        (by_trio, "an event loop of trio"),
    ]
    for task, said in unknown:
        proof = proof_of(lambda _, task=task: task())  # type: ignore[misc]
        assert proof.verdict is Verdict.UNKNOWN
        assert said in proof.reason


def test_a_portal_does_what_it_does_in_a_thread_of_its_own() -> None:
    told: list[object] = []

    async def starts(*, task_status: Any) -> str:
        await anyio.sleep(1)
        task_status.started("started")
        await anyio.sleep(1)
        return "done"

    async def never_starts(*, task_status: Any) -> None: ...

    async def fails() -> None:
        raise ValueError("it fails")

    def uses_a_portal(url: str) -> None:
        with redis.Redis.from_url(url) as client, anyio.from_thread.start_blocking_portal() as portal:
            if not client.hsetnx("users", "ada", "1"):
                return
            client.rpush("created", "ada")
            future, value = portal.start_task(starts)
            told.append((value, future.result(), portal.call(len, "abc")))
            for failing in (lambda: portal.call(fails), lambda: portal.start_task(never_starts)):
                try:
                    failing()
                except (ValueError, RuntimeError) as error:
                    told.append(str(error))
            left = portal.start_task_soon(anyio.sleep_forever)
            assert left.cancel()

    proof = proof_of(uses_a_portal)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert told[:3] == [("started", "done", 3), "it fails", "Task exited without calling task_status.started()"]


@pytest.mark.parametrize("has_key", [True, False])
@pytest.mark.parametrize("is_async", [True, False])
def test_what_is_tried_again_is_charged_again_unless_it_has_one_key(*, is_async: bool, has_key: bool) -> None:
    @contract(workers=1, faults=1)
    def pays(world: World) -> None:
        bank, keys = world.provider(CHARGES), iter(range(1000))

        def headers() -> dict[str, str]:
            return {"Idempotency-Key": "p1" if has_key else f"attempt-{next(keys)}"}

        @retry(stop=stop_after_attempt(5), wait=wait_exponential(max=10))
        def pay() -> None:
            requests.post(CHARGES, json={"payment": "p1"}, headers=headers(), timeout=5).raise_for_status()

        async def pay_async() -> None:
            async for attempt in AsyncRetrying(stop=stop_after_attempt(5), wait=wait_fixed(2)):
                with attempt:
                    async with httpx.AsyncClient(timeout=5) as client:
                        (await client.post(CHARGES, json={"payment": "p1"}, headers=headers())).raise_for_status()

        world.run(pay_async if is_async else pay)
        world.recover(lambda: None, times=1)
        world.check(bank.charged_at_most_once("p1"))

    proof = prove(pays, budget_s=120)

    assert proof.verdict is (Verdict.PASS if has_key else Verdict.FAIL), proof.reason
    assert proof.placements > 3 or not has_key
