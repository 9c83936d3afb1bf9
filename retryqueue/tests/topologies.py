"""More than one server, all of them real: a cluster of six nodes, and a primary with a replica under three sentinels.

Times are short, so that a failover takes a few seconds: a node counts as gone after one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from contextlib import ExitStack
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import pytest
import redis
from servers import RedisServer, free_port

from retryqueue import Succeeded, Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from retryqueue import Lease

SLOTS = 16384
GONE_AFTER_MS = 1000
LONGEST_WAIT_S = 90.0
SERVICE = "payments-primary"


def debian_redis() -> str:
    """The redis-server of the system; a test that needs it is not run without, and fails where all of them have to run."""
    found = shutil.which("redis-server")
    if found is None:
        reason = "not run: there is no redis-server on the path (apt-get install redis-server)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def wait_until(is_so: Callable[[], object], what: str, longest_s: float = LONGEST_WAIT_S) -> float:
    """Waits until something is so; answers how many seconds that took. What cannot be asked yet, is not so yet."""
    began_s = time.monotonic()
    while True:
        try:
            if is_so():
                return time.monotonic() - began_s
        except (redis.RedisError, LookupError):
            pass  # A server that starts or fails over does not answer.
        if time.monotonic() - began_s > longest_s:
            raise TimeoutError(f"not so after {longest_s} s: {what}")
        time.sleep(0.02)


class Ledger:
    """A provider in memory that honours idempotency keys, and writes down what was asked of it.

    Args:
        takes_s: How long a charge takes.
    """

    def __init__(self, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.asked: list[tuple[float, str]] = []
        self._charges: dict[str, str] = {}
        self._lock = threading.Lock()

    def charge(self, lease: Lease) -> Succeeded:
        """Charges once for each provider key; a repeat is answered with the first charge."""
        time.sleep(self.takes_s)
        with self._lock:
            self.asked.append((time.monotonic(), lease.key))
            return Succeeded(self._charges.setdefault(lease.provider_key, f"ch_{len(self._charges)}"))

    @property
    def charges(self) -> dict[str, list[str]]:
        """The charges of each payment: more than one would be a payment charged twice."""
        found: dict[str, list[str]] = {}
        for provider_key, reference in list(self._charges.items()):
            found.setdefault(provider_key.rpartition(":")[0], []).append(reference)
        return found

    @property
    def longest_gap_s(self) -> float:
        """The longest time without a charge between the first and the last one."""
        times = [at_s for at_s, _ in self.asked]
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)


class Working:
    """Runs a worker in a thread for the length of a block; what ends it before that, is raised at the end of the block."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="worker")

    @property
    def goes_on(self) -> bool:
        """Whether the worker still works."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._worker.run()
        except BaseException as error:  # noqa: BLE001 - raised at the end of the block.
            self._failure = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._worker.stop()
        self._thread.join(LONGEST_WAIT_S)
        if error is None:
            assert not self._thread.is_alive(), "the worker did not end"
            if self._failure is not None:
                raise self._failure


class Node(RedisServer):
    """A server that may be one of several.

    Args:
        binary: Which program; by default the one of `any_binary`.
        settings: As for `RedisServer`.
    """

    def __init__(self, *, binary: str | None = None, **settings: str) -> None:
        super().__init__(binary=binary, port=None, **settings)

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def has_passed_everything_on(self) -> bool:
        """Whether a replica has confirmed all that was written here. A new one gets nothing for a second."""
        role = self.ask("ROLE")
        return role[0] == b"master" and any(int(confirmed) >= role[1] for _, _, confirmed in role[2])

    def ask(self, *command: str | int) -> Any:
        """The reply to one command, as it comes."""
        with self.client(socket_timeout=2, protocol=2) as client:
            return client.execute_command(*command)


class Cluster:
    """Six nodes: the first three are primaries of a third of the slots each, the other three are their replicas.

    Args:
        binary: Which program; Redis 7.0 or later.
    """

    def __init__(self, binary: str) -> None:
        self.nodes = [Node(binary=binary, **_cluster_settings()) for _ in range(6)]
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """Its address, by a primary and a replica."""
        return f"redis+cluster://127.0.0.1:{self.nodes[0].port},127.0.0.1:{self.nodes[4].port}"

    def flush(self) -> None:
        """Forgets everything, on all primaries and their replicas."""
        for node in self.primaries():
            node.ask("FLUSHALL")
        self.pass_on()

    def pass_on(self) -> None:
        """Waits until the replicas have all that the primaries have."""
        wait_until(lambda: all(node.has_passed_everything_on for node in self.primaries()), "the replicas have everything")

    def alive(self) -> list[Node]:
        """The nodes whose process runs."""
        return [node for node in self.nodes if node.is_running]

    def primaries(self) -> list[Node]:
        """The nodes that are primaries now, by their own word."""
        return [node for node in self.alive() if node.ask("ROLE")[0] == b"master"]

    def primary_of(self, key: str) -> Node:
        """The primary that has this key now, as a node that is alive sees it."""
        witness = self.alive()[0]
        slot = witness.ask("CLUSTER", "KEYSLOT", key)
        for first, last, (_, port, *_), *_ in witness.ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise LookupError(f"no primary for slot {slot}")

    def is_whole(self) -> bool:
        """Whether all nodes that are alive agree that every slot is served, and every replica has its primary's data."""
        return all(b"cluster_state:ok" in node.ask("CLUSTER", "INFO") and _is_in_step(node) for node in self.alive())

    def heal(self) -> None:
        """Starts what was killed, and waits until there are three primaries with a replica each again."""
        for node in self.nodes:
            if not node.is_running:
                node.start()
        wait_until(lambda: self.is_whole() and len(self.primaries()) == 3, "the cluster is whole")

    def move_slot(self, key: str) -> tuple[Node, Node, int]:
        """Begins to move the slot of a key to another primary; answers from where, to where, and the slot."""
        source = self.primary_of(key)
        target = next(node for node in self.primaries() if node is not source)
        slot = source.ask("CLUSTER", "KEYSLOT", key)
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.ask("CLUSTER", "MYID").decode())
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.ask("CLUSTER", "MYID").decode())
        return source, target, slot

    def move_keys(self, source: Node, target: Node, slot: int, most: int) -> int:
        """Moves some keys of a slot that is being moved; answers how many there were."""
        keys = source.ask("CLUSTER", "GETKEYSINSLOT", slot, most)
        if keys:
            source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        return len(keys)

    def end_move(self, target: Node, slot: int) -> None:
        """Gives the slot to its new primary, once all of its keys are there."""
        for node in (target, *(node for node in self.primaries() if node is not target)):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.ask("CLUSTER", "MYID").decode())

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            for node in self.nodes:
                starting.enter_context(node)
            self._form()
            self._stack = starting.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def _form(self) -> None:
        first = self.nodes[0]
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.ask("CLUSTER", "MEET", "127.0.0.1", first.port, _bus_port(first))
        for number, node in enumerate(self.nodes[:3]):
            node.ask("CLUSTER", "ADDSLOTS", *range(SLOTS * number // 3, SLOTS * (number + 1) // 3))
        wait_until(lambda: all(_knows(node, len(self.nodes)) for node in self.nodes), "every node knows the five others")
        for primary, replica in zip(self.nodes[:3], self.nodes[3:], strict=True):
            replica.ask("CLUSTER", "REPLICATE", primary.ask("CLUSTER", "MYID").decode())
        wait_until(self.is_whole, "the cluster is whole")


def _cluster_settings() -> dict[str, str]:
    return {
        "cluster_enabled": "yes",
        "cluster_port": str(free_port()),
        "cluster_node_timeout": str(GONE_AFTER_MS),
        "cluster_replica_validity_factor": "0",
        "repl_diskless_sync_delay": "0",
    }


def _bus_port(node: Node) -> int:
    return int(node.ask("CONFIG", "GET", "cluster-port")[1])


def _is_in_step(node: Node) -> bool:
    """Whether it is a primary, or a replica that is connected to one."""
    role = node.ask("ROLE")
    return b"master" in role or b"connected" in role


def _knows(node: Node, count: int) -> bool:
    listed = node.ask("CLUSTER", "NODES")
    return len(listed.splitlines()) == count and b"handshake" not in listed


class Sentinels:
    """A primary, its replica, and three sentinels that watch them.

    Args:
        binary: Which program.
    """

    def __init__(self, binary: str) -> None:
        primary = Node(binary=binary, repl_diskless_sync_delay="0")
        self.servers = [primary, Node(binary=binary, replicaof=f"127.0.0.1 {primary.port}", repl_diskless_sync_delay="0")]
        self.sentinels = [_Sentinel(binary, primary.port) for _ in range(3)]
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """Its address."""
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{node.port}" for node in self.sentinels) + f"/{SERVICE}/0"

    @property
    def primary(self) -> Node:
        """The server that most of the sentinels call the primary."""
        ports = sorted(int(node.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1]) for node in self.sentinels)
        return next(server for server in self.servers if server.port == ports[1])

    def is_whole(self) -> bool:
        """Whether the first failover could be carried out: the replica has the data; the sentinels know it and each other."""
        return _is_in_step(self.servers[1]) and all(node.knows_all() for node in self.sentinels)

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            for node in (*self.servers, *self.sentinels):
                starting.enter_context(node)
            self._stack = starting.pop_all()
            wait_until(self.is_whole, "the sentinels are ready for a failover")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()


class _Sentinel(Node):
    """One sentinel. Its settings are a file, since it writes down there what it learns."""

    def __init__(self, binary: str, primary_port: int) -> None:
        super().__init__(binary=binary)
        settings = self.folder / "sentinel.conf"
        settings.write_text(
            f"port {self.port}\nunixsocket {self.socket}\ndir {self.folder}\nbind 127.0.0.1\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary_port} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} {GONE_AFTER_MS}\n"
            f"sentinel failover-timeout {SERVICE} 4000\n"
        )
        self._command = [binary, str(settings), "--sentinel"]

    def start(self) -> Self:
        """Starts it and waits until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        self._wait()
        return self

    def knows_all(self) -> bool:
        """Whether it knows the two other sentinels and a replica that answers, and sees nothing wrong with the primary."""
        primary = _named(self.ask("SENTINEL", "MASTER", SERVICE))
        replicas = [_named(replica) for replica in self.ask("SENTINEL", "REPLICAS", SERVICE)]
        return (
            primary["flags"] == "master"
            and primary["num-other-sentinels"] == "2"
            and [replica["flags"] for replica in replicas] == ["slave"]
        )


def _named(flat: list[bytes]) -> dict[str, str]:
    texts = [value.decode() for value in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
