"""Which calls are Redis commands."""

from __future__ import annotations

import pytest

from interlock.source.module import Module


def commands(text: str) -> list[tuple[str, bool]]:
    """The commands of an example, and whether each is on a pipeline."""
    return [(command.name, command.buffered) for command in Module("shop/example.py", text).redis_commands]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("import redis\nr = redis.Redis()\nr.get('a')\n", id="constructor"),
        pytest.param("import redis\nr = redis.from_url('redis://')\nr.get('a')\n", id="from_url"),
        pytest.param("from redis.asyncio import Redis\nasync def f():\n    r = Redis()\n    await r.get('a')\n", id="asyncio"),
        pytest.param("from redis import Redis\ndef f(store: Redis):\n    store.get('a')\n", id="annotation"),
        pytest.param("from redis import Redis\ndef f(store: 'Redis | None'):\n    store.get('a')\n", id="annotation in quotes"),
        pytest.param("def f(redis):\n    redis.get('a')\n", id="a parameter's name"),
        pytest.param("def f(app):\n    app.redis_client.get('a')\n", id="an attribute's name"),
        pytest.param(
            "import redis\nclass A:\n    def __init__(self):\n        self.x = redis.Redis()\n"
            "    def f(self):\n        self.x.get('a')\n",
            id="attribute",
        ),
        pytest.param("from redis import Redis\ndef connect() -> Redis: ...\ndef f():\n    connect().get('a')\n", id="helper"),
        pytest.param("import redis\nclass Store(redis.Redis):\n    def f(self):\n        self.get('a')\n", id="subclass"),
        pytest.param("import fakeredis\nr = fakeredis.FakeRedis()\nr.get('a')\n", id="fakeredis"),
        pytest.param("import valkey\nr = valkey.Valkey()\nr.get('a')\n", id="valkey"),
        pytest.param("import redis\nif (r := redis.Redis()): pass\nr.get('a')\n", id="walrus"),
    ],
)
def test_a_client_is_known(text: str) -> None:
    assert ("get", False) in commands(text)


def test_a_pipeline_is_known_by_where_it_comes_from() -> None:
    text = (
        "def f(redis):\n    pipe = redis.pipeline()\n    pipe.set('a', 1)\n    pipe.incr('b').expire('b', 9)\n"
        "    pipe.execute()\n    redis.get('a')\n"
    )
    assert [name for name, buffered in commands(text) if buffered] == ["set", "expire", "incr", "execute"]
    assert ("get", False) in commands(text)
    with_block = (
        "async def f(redis):\n    async with redis.pipeline() as p:\n        p.set('a', 1)\n        await p.execute()\n"
    )
    assert ("set", True) in commands(with_block)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("redis_settings = {}\nredis_settings.get('a')\n", id="settings"),
        pytest.param("redis = {'a': 1}\nredis.get('a')\n", id="a dict of that name"),
        pytest.param("import redis\nredis.get('a')\n", id="the module itself"),
        pytest.param("cache = {}\ncache.get('a')\n", id="a cache"),
        pytest.param("import redis\ndef f(session):\n    session.get('a')\n", id="another client beside it"),
        pytest.param("def f(credis):\n    credis.get('a')\n", id="a name that ends alike"),
    ],
)
def test_what_is_no_client_is_none(text: str) -> None:
    assert commands(text) == []


def test_a_command_tells_its_key_and_its_lifetime() -> None:
    text = (
        "def f(redis):\n    redis.set('a', 1, nx=True, ex=9)\n    redis.set('b', 1)\n    redis.setex('c', 9, 1)\n"
        "    redis.delete('d', 'e')\n    redis.ping()\n"
    )
    module = Module("shop/example.py", text)
    told = [
        ([module.segment(key) for key in command.keys], command.only_if_new, command.has_lifetime)
        for command in module.redis_commands
    ]
    assert told == [
        (["'a'"], True, True),
        (["'b'"], False, False),
        (["'c'"], False, True),
        (["'d'", "'e'"], False, False),
        ([], False, False),
    ]
