"""A reply that is lost: the client sends the call again, and nothing is done twice, whatever others have done meanwhile.

A proxy stands between client and server. It passes a call on, waits until the server has carried it out, and cuts the
connection instead of passing the reply back; so redis-py really sends the call again.
"""

from __future__ import annotations

import asyncio
import io
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import pytest
from passing import let_pass

from retryqueue import AsyncRetryQueue, Payment, Policy, RetryQueue, State, protocol, scripts
from retryqueue.protocol import Entry, Verdict
from retryqueue.shards import Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from servers import RedisServer

    from retryqueue import Lease
    from retryqueue.protocol import Call

POLICY = Policy(attempts=3)
SHARD = Shard("payments", 0)


class CuttingProxy:
    """Passes everything on, and cuts the connection after the next call that it is told to."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._meanwhile: Callable[[], None] | None = None
        self.lost: list[bytes] = []
        self.calls = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def cut_the_next(self, meanwhile: Callable[[], None]) -> None:
        """Loses the reply to the next script, and does something before the client hears of that."""
        self._meanwhile, self.calls = meanwhile, 0

    def say_unasked(self, words: bytes) -> None:
        """Sends something to all clients that are still there."""
        for each in self._sockets[::2]:
            with suppress(OSError):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # Or it comes only with the next reply.
                each.sendall(words)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone does not wake those who wait on a socket.
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._sockets += [client, server]
                threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        """One request at a time, as this client speaks."""
        with suppress(OSError), client, server:
            while sent := client.recv(1 << 20):
                server.sendall(sent)
                reply = server.recv(1 << 20)
                if b"FCALL" in sent or b"EVALSHA" in sent:
                    self.calls += 1
                    with self._lock:
                        meanwhile, self._meanwhile = self._meanwhile, None
                    if meanwhile is not None:
                        self.lost.append(reply)
                        meanwhile()
                        return
                client.sendall(reply)


@dataclass
class Bench:
    """A queue that is talked to directly, to prepare what a call needs."""

    client: Any  # Its types leave open whether it answers bytes.
    queue: RetryQueue
    claims: int = field(default=0)

    def ask(self, call: Call[Any]) -> Any:
        return self.queue._server.carry(self.queue.operations.ask(call))

    def leased(self, *keys: str) -> list[Lease]:
        self.queue.enqueue_many([payment(key) for key in keys])
        return self.claim(100)

    def claim(self, most: int, worker: str = "worker-a") -> list[Lease]:
        self.claims += 1
        return list(self.ask(protocol.claim(SHARD, POLICY, worker, f"b{self.claims}", most)).leases)

    def settle(self, transition: Any, leases: Sequence[Lease], *facts: Any) -> None:
        self.ask(settled(transition, leases, *facts))

    def snapshot(self) -> dict[bytes, Any]:
        """Everything that the server holds."""
        return {key: self.client.dump(key) for key in self.client.keys("*")}


def payment(key: str) -> Payment:
    return Payment(key=key, user_id="user", amount_minor=100, currency="EUR", payment_method_id="pm")


def settled(transition: Any, leases: Sequence[Lease], *facts: Any) -> Call[Any]:
    return protocol.settle(SHARD, POLICY, transition, [Verdict(lease, transition, facts) for lease in leases])


def dead(bench: Bench, *keys: str) -> None:
    bench.settle("bury", bench.leased(*keys), "stolen_card")


def to_enqueue(_: Bench) -> Call[Any]:
    return protocol.enqueue(SHARD, POLICY, [Entry(payment(key)) for key in ("a", "b", "a")])


def to_hold(_: Bench) -> Call[Any]:
    return protocol.hold(SHARD, [payment(key) for key in ("a", "b", "a")], "moved")


def to_refuse(_: Bench) -> Call[Any]:
    return protocol.refuse(SHARD, [("a", b"{", "no JSON"), ("b", b"[", "no JSON"), ("a", b"{", "no JSON")])


def to_claim(bench: Bench) -> Call[Any]:
    bench.queue.enqueue_many([payment(key) for key in "abc"])
    return protocol.claim(SHARD, POLICY, "worker-a", "1", 2)


def to_succeed(bench: Bench) -> Call[Any]:
    return settled("succeed", bench.leased("a", "b"), "ch_1")


def to_reschedule(bench: Bench) -> Call[Any]:
    leases = bench.leased("a", "b")
    verdicts = [Verdict(lease, "reschedule", (0, declined, "no")) for lease, declined in zip(leases, (0, 1), strict=True)]
    return protocol.settle(SHARD, POLICY, "reschedule", verdicts)


def to_bury(bench: Bench) -> Call[Any]:
    return settled("bury", bench.leased("a", "b"), "stolen_card")


def to_release(bench: Bench) -> Call[Any]:
    return settled("release", bench.leased("a", "b"))


def to_quarantine(bench: Bench) -> Call[Any]:
    return protocol.quarantine(SHARD, [(lease.key, lease.token, "unreadable") for lease in bench.leased("a", "b")])


def to_extend(bench: Bench) -> Call[Any]:
    return protocol.extend(SHARD, POLICY, bench.leased("a", "b"))


def to_requeue(bench: Bench) -> Call[Any]:
    dead(bench, "a")
    return protocol.requeue(SHARD, POLICY, "a")


def to_resolve_as_paid(bench: Bench) -> Call[Any]:
    bench.ask(to_hold(bench))
    return protocol.resolve(SHARD, POLICY, "a", "ch_1")


def to_resolve_as_not_paid(bench: Bench) -> Call[Any]:
    bench.ask(to_hold(bench))
    return protocol.resolve(SHARD, POLICY, "a", None)


def to_purge(bench: Bench) -> Call[Any]:
    dead(bench, "a")
    bench.ask(protocol.refuse(SHARD, [("b", b"{", "no JSON")]))
    return protocol.purge(SHARD, ["a", "b"])


def to_pause(_: Bench) -> Call[Any]:
    return protocol.pause(SHARD, paused=True)


def to_resume(bench: Bench) -> Call[Any]:
    bench.queue.pause()
    return protocol.pause(SHARD, paused=False)


def to_inspect(bench: Bench) -> Call[Any]:
    bench.leased("a")
    return protocol.inspect(SHARD, "a")


def to_page(bench: Bench) -> Call[Any]:
    bench.leased("a")
    return protocol.page(SHARD, State.LEASED, "0")


def to_status(bench: Bench) -> Call[Any]:
    bench.leased("a")
    return protocol.status(SHARD)


CASES: dict[str, Callable[[Bench], Call[Any]]] = {
    name.removeprefix("to_"): case for name, case in list(globals().items()) if name.startswith("to_")
}
FORMS = ("FCALL", "EVALSHA")


def said(call: Call[Any], answer: Any) -> Any:
    """What an answer says of the call itself, and not of the time or of what others have done since."""
    match call.script:
        case "enqueue" | "hold":
            return [receipt.answer for receipt in answer]
        case "claim":
            return (answer.leases, answer.unreadable)
        case "succeed" | "reschedule" | "bury" | "release" | "quarantine":
            return ["done" if word in {"ok", "again"} else word for word in answer]
        case "requeue" | "resolve":
            return answer[0]
        case "purge":
            return ["refused" if word == "refused" else "gone" for word in answer]
        case "status":
            return answer.counts
        case _:
            return answer


def decoded(reply: bytes) -> Any:
    """A reply as the server has written it."""
    return read_reply(io.BytesIO(reply))


def read_reply(stream: io.BytesIO) -> Any:
    kind, text = stream.read(1), stream.readline().strip()
    match kind:
        case b"*":
            return [read_reply(stream) for _ in range(int(text))]
        case b"$":
            value = stream.read(int(text))
            stream.read(2)
            return value
        case b":":
            return int(text)
        case _:
            raise AssertionError(f"a script does not answer {kind + text!r}")


@contextmanager
def bench_of(server: RedisServer) -> Iterator[Bench]:
    with server.client() as client, RetryQueue(server.url, policy=POLICY, durability="ignore") as queue:
        queue.status()
        for name in scripts.names():
            text = scripts.script(name, flagged=True)
            assert client.script_load(text) == scripts.digest(name, flagged=True)
        yield Bench(client, queue)


def blocking(url: str, form: str, call: Call[Any], arm: Callable[[], None]) -> Any:
    with RetryQueue(url, policy=POLICY, durability="ignore") as queue:
        queue._server.carry(queue.operations.open()).functions = form == "FCALL"
        arm()
        return queue._server.carry(queue.operations.ask(call))


def with_asyncio(url: str, form: str, call: Call[Any], arm: Callable[[], None]) -> Any:
    async def carry() -> Any:
        async with AsyncRetryQueue(url, policy=POLICY, durability="ignore") as queue:
            (await queue._server.carry(queue.operations.open())).functions = form == "FCALL"
            arm()
            return await queue._server.carry(queue.operations.ask(call))

    return asyncio.run(carry())


def test_every_script_has_a_case() -> None:
    assert {name.split("_")[0].replace("resume", "pause") for name in CASES} == set(scripts.names())


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("send", [blocking, with_asyncio])
def test_a_call_whose_reply_is_lost_is_sent_again_and_done_once(
    server: RedisServer, name: str, form: str, send: Callable[..., Any]
) -> None:
    taken: list[dict[bytes, Any]] = []
    with bench_of(server) as bench, CuttingProxy(server.port) as proxy:
        call = CASES[name](bench)
        answer = send(proxy.url, form, call, lambda: proxy.cut_the_next(lambda: taken.append(bench.snapshot())))

        assert proxy.calls == 2, "It was sent twice."
        first = call.read(decoded(proxy.lost[0]))
        assert said(call, answer) == said(call, first)
        after = bench.snapshot()
        if name == "extend":  # The second time makes the leases a little longer still.
            leased = SHARD.key("leased").encode()
            assert len(bench.client.zrange(leased, 0, -1)) == 2
            del after[leased], taken[0][leased]
        assert after == taken[0], "The second time changed something."


@pytest.mark.parametrize("name", sorted(set(CASES) - {"inspect", "page", "status"}))  # These tell what they see.
@pytest.mark.parametrize("form", FORMS)
def test_a_call_that_is_sent_again_leaves_alone_what_others_have_done_meanwhile(
    server: RedisServer, name: str, form: str
) -> None:
    taken: list[dict[bytes, Any]] = []
    with bench_of(server) as bench, CuttingProxy(server.port) as proxy:
        call = CASES[name](bench)

        def meanwhile() -> None:
            bench.queue.enqueue_many([payment("a"), payment("z")])
            bench.claim(100, "worker-b")
            taken.append(bench.snapshot())

        answer = blocking(proxy.url, form, call, lambda: proxy.cut_the_next(meanwhile))
        after = bench.snapshot()

        assert proxy.calls == 2
        first = said(call, call.read(decoded(proxy.lost[0])))
        if name == "extend":
            leased = SHARD.key("leased").encode()
            del after[leased], taken[0][leased]
        if name == "purge":  # The key that was freed has been used again; it is not freed a second time.
            first = ["refused", "gone"]
        assert said(call, answer) == first
        assert after == taken[0]


def test_a_verdict_that_is_sent_again_after_its_lease_was_lost_does_not_touch_the_next_holders(server: RedisServer) -> None:
    """The longest way: executed, reply lost, claimed and settled by another worker, and only then sent again."""
    with bench_of(server) as bench, CuttingProxy(server.port) as proxy:
        call = settled("reschedule", bench.leased("a"), 0, 0, "timeout")

        def meanwhile() -> None:
            bench.settle("succeed", bench.claim(1, "worker-b"), "ch_2")

        answer = blocking(proxy.url, "FCALL", call, lambda: proxy.cut_the_next(meanwhile))

        assert decoded(proxy.lost[0]) == [b"ok"]
        assert answer == ["lost"], "Only the last verdict is remembered; what counts is that nothing changes."
        item = bench.queue.inspect("a")
        assert item is not None
        assert (item.state, item.attempt, item.note) == (State.SUCCEEDED, 2, "ch_2")


def test_a_claim_that_is_sent_again_after_its_leases_ended_is_given_nothing_that_others_hold(server: RedisServer) -> None:
    with bench_of(server) as bench, CuttingProxy(server.port) as proxy:
        call = to_claim(bench)

        def meanwhile() -> None:
            let_pass(bench.client, POLICY.lease_ms)
            bench.claim(100, "worker-b")

        answer = blocking(proxy.url, "FCALL", call, lambda: proxy.cut_the_next(meanwhile))

        assert answer.leases == ()
        assert bench.queue.status().counts[State.LEASED] == 3


def test_an_enqueue_that_is_sent_again_is_new_even_if_it_was_charged_meanwhile(server: RedisServer) -> None:
    with bench_of(server) as bench, CuttingProxy(server.port) as proxy:

        def meanwhile() -> None:
            bench.settle("succeed", bench.claim(1, "worker-b"), "ch_1")

        call = protocol.enqueue(SHARD, POLICY, [Entry(payment("a"))])
        answer = blocking(proxy.url, "FCALL", call, lambda: proxy.cut_the_next(meanwhile))

        assert [(one.answer, one.state, one.reference) for one in answer] == [("new", State.SUCCEEDED, "ch_1")]
        assert bench.claim(100) == []


def test_what_comes_unasked_on_a_connection_is_not_taken_for_the_next_reply(server: RedisServer) -> None:
    with CuttingProxy(server.port) as proxy, RetryQueue(proxy.url, durability="ignore") as queue:
        for key in ("a", "b"):
            queue.enqueue(payment(key))
        proxy.say_unasked(b"*1\r\n*0\r\n")
        found = [queue.inspect(key) for key in ("a", "b", "a")]

        assert [item and item.key for item in found] == ["a", "b", "a"]
