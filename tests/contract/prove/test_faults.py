from __future__ import annotations

import asyncio
import importlib
import os
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

import pytest
import redis
import requests

from interlock.core.errors import UsageError
from interlock.core.verdict import Verdict
from interlock.prove.clock import virtual_time
from interlock.prove.contract import Contract, contract
from interlock.prove.effect import Effect
from interlock.prove.explore import Proof, prove
from interlock.prove.faults import every_fault, every_kind, is_usual, kind_of
from interlock.prove.faults.bad_gateway import BadGateway
from interlock.prove.faults.delay import Delay
from interlock.prove.faults.failover import Failover
from interlock.prove.faults.from_here_on import FromHereOn
from interlock.prove.faults.loading import Loading
from interlock.prove.faults.lost_reply import LostReply
from interlock.prove.faults.malformed_reply import MalformedReply
from interlock.prove.faults.rate_limited import RateLimited
from interlock.prove.faults.read_only import ReadOnly
from interlock.prove.faults.read_timeout import ReadTimeout
from interlock.prove.faults.refused import Refused
from interlock.prove.faults.reset import Reset
from interlock.prove.faults.restart import Restart
from interlock.prove.faults.server_error import ServerError
from interlock.prove.invariant import Invariant
from interlock.prove.outage import STRIKES_MAX
from interlock.prove.provider import Provider
from interlock.prove.scheduler import Run
from interlock.prove.server_clock import compiled_clock
from interlock.prove.wire import resp
from interlock.prove.wire.http_wire import Answer, HttpWire, Request
from interlock.prove.wire.redis_connection import Connection
from interlock.prove.wire.redis_server import running_redis
from interlock.prove.wire.redis_wire import RedisWire
from interlock.prove.wire.sockets import controlled_sockets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from interlock.prove.effect import Step
    from interlock.prove.fault import Fault
    from interlock.prove.wire.network import Wire
    from interlock.prove.wire.redis_server import RedisServer
    from interlock.prove.worker import Worker
    from interlock.prove.world import World

SUBJECTS = Path(__file__).parent.parent / "prove_subjects"
BUDGET_S = 120
WRITE = Effect("redis", "SET a 1", writes=frozenset({"redis:a"}), lengths_s=(5.0, 30.0, 10.0, 86_400.0), is_late=True)
REQUEST = Effect("http", "POST pay.example/", frozenset({"http:pay.example"}), frozenset({"http:pay.example"}))
READ = Effect("redis", "GET a", frozenset({"redis:a"}))


def first(ready: list[Worker]) -> Worker:
    return ready[0]


@pytest.fixture
def faulty(redis_server: None) -> Iterator[Any]:  # noqa: ARG001 - it must be there.
    sys.path.insert(0, str(SUBJECTS))
    yield importlib.import_module("faulty")
    sys.path.remove(str(SUBJECTS))
    sys.modules.pop("faulty")


@pytest.fixture
def server(redis_server: None) -> Iterator[RedisServer]:  # noqa: ARG001 - it must be there.
    with running_redis() as running:
        running.clear()
        yield running


def played(server: RedisServer, plan: dict[tuple[int, int], Fault], *scripts: Sequence[str]) -> tuple[Run, list[list[str]]]:
    """Workers who each send commands, or sleep for a number of seconds, and what each was told."""
    run = Run(first, plan, server=server, time_passes=server.pass_time)
    told: list[list[str]] = [[] for _ in scripts]

    def task(number: int) -> None:
        wire = RedisWire(run, server)
        for line in scripts[number]:
            if line.isdigit():
                run.wait(int(line), Effect("wait", line))
                continue
            try:
                answer = resp.decoded(wire.sent(resp.encoded(*line.split())))[0]
                told[number].append(answer.decode() if isinstance(answer, bytes) else str(answer))
            except OSError as error:
                told[number].append(type(error).__name__)
                wire.close()
                wire = RedisWire(run, server)
        wire.close()

    run.go([lambda number=number: task(number) for number in range(len(scripts))])  # type: ignore[misc]
    return run, told


def test_each_fault_says_all_of_itself_and_equals_its_like() -> None:
    faults = [*every_fault(WRITE), *every_fault(READ), *every_fault(REQUEST)]
    names = {fault.name: fault for fault in faults}

    assert all(fault == names[fault.name] for fault in faults)
    assert len({(type(fault), fault.name) for fault in faults}) == len(set(faults)) == len(names)
    assert {kind_of(fault) for fault in faults} <= set(every_kind())
    assert all(fault.strike.__doc__ for fault in faults)


def test_few_faults_are_placed_where_nobody_asks_for_more() -> None:
    assert [fault.name for fault in every_fault(WRITE) if is_usual(fault)] == [
        "crash after",
        "crash before",
        "delay 6 s",
        "delay 31 s",
        "delay 36 s",
        "lost reply",
        "reset",
    ]


def test_a_request_can_fail_before_and_after_the_charge() -> None:
    assert {fault.name for fault in every_fault(REQUEST) if kind_of(fault) not in {"from here on", "refused"}} == {
        *("crash before", "crash after", "reset", "lost reply", "500", "500, carried out", "502", "502, carried out"),
        *("429", "read timeout", "read timeout, carried out", "malformed reply"),
    }


def test_a_write_is_never_refused_where_nothing_is_written() -> None:
    assert not {"read only", "out of memory"} & {fault.name for fault in every_fault(READ)}
    assert {"read only", "out of memory"} <= {fault.name for fault in every_fault(WRITE)}


def test_a_worker_that_is_held_up_goes_on_with_its_effect_after_the_others(server: RedisServer) -> None:
    run, told = played(
        server, {(0, 1): Delay(31)}, ["SET lease A NX PX 30000", "INCR n"], ["3", "SET lease B NX", "40", "INCR n"]
    )

    assert told == [["OK", "1"], ["None", "2"]]
    assert [(step.worker, step.effect.said, step.at_s, step.fault) for step in run.steps] == [
        ("A", "SET lease A NX PX 30000", 0.0, None),
        ("B", "SET lease B NX", 3.0, None),
        ("A", "INCR n", 31.0, "delay 31 s"),
        ("B", "INCR n", 43.0, None),
    ]
    assert server.value("GET", "lease") is None


def test_a_restart_keeps_what_was_written_and_forgets_scripts_and_connections(server: RedisServer) -> None:
    sha = server.value("SCRIPT", "LOAD", "return 1").decode()
    server.value("SET", "given", "1", "PX", 60_000)
    run, told = played(server, {(0, 1): Restart()}, ["SET a 1", "INCR b", "GET a", "INCR b"], ["7", "GET a"])

    assert told == [["OK", "ConnectionResetError", "1", "1"], ["ConnectionResetError"]]
    assert run.struck == {(0, 1)}
    assert server.value("SCRIPT", "EXISTS", sha) == [0]
    assert server.value("PTTL", "given") == 53_000


def test_a_restart_that_loses_the_last_second_keeps_what_is_older(server: RedisServer) -> None:
    server.value("RPUSH", "given", "1", "2", "3")
    server.value("SET", "lease", "1", "PX", 90_000)
    script = [
        "SET old 1",
        "5",
        "SET young 1",
        "LPOP given",
        "EVAL return{redis.call('INCR','n'),redis.call('INCR','n')} 0",
        "GET x",
    ]
    _, told = played(server, {(0, 4): Restart(1.0)}, script)

    assert told[0][-1] == "ConnectionResetError"
    assert (server.value("GET", "old"), server.value("GET", "young"), server.value("GET", "n")) == (b"1", None, None)
    assert server.value("LRANGE", "given", 0, -1) == [b"1", b"2", b"3"]
    assert server.value("PTTL", "lease") == 85_000


@pytest.mark.parametrize("lost_s", [0.0, 1.0])
def test_what_is_back_after_a_restart_is_what_a_second_server_reads_from_the_same_log(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lost_s: float
) -> None:
    server.value("ZADD", "given", 1, "a", 2, "b")
    restart = server.restart

    def kept_for_another(lost_s: float) -> None:
        copy = shutil.copytree(server.path.parent, tmp_path / "copy", ignore=shutil.ignore_patterns("redis"))
        log = server._log  # noqa: SLF001 - how much of the file would have been synced.
        assert log is not None
        if lost_s:
            os.truncate(copy / log.file.relative_to(server.path.parent), log.marks[-1][1])
        restart(lost_s)

    monkeypatch.setattr(server, "restart", kept_for_another)
    script = ["HSET h a 1", "MULTI", "INCR n", "RPUSH l x", "EXEC", "SADD s 1 2 3", "SPOP s", "SET t 1 PX 50000", "5"]
    played(server, {(0, 6): Restart(lost_s)}, [*script, "SET young 1", "GET n"])
    back = {key: server.value("DUMP", key) for key in server.value("KEYS", "*")}

    assert back == read_by_another(tmp_path / "copy")
    assert set(back) - {b"young"} == {b"given", b"h", b"l", b"n", b"s", b"t"}
    assert (b"young" in back) == (not lost_s)


def test_a_failover_loses_the_last_write_and_no_more(server: RedisServer) -> None:
    script = ["SET a 1", "MULTI", "SET b 1", "SET c 1", "EXEC", "GET a"]
    _, told = played(server, {(0, 2): Failover()}, script)

    assert told[0][-1] == "ConnectionResetError"
    assert server.value("MGET", "a", "b", "c") == [b"1", None, None]


@pytest.mark.parametrize(("fault", "said"), [(ReadOnly(), "READONLY"), (Loading(), "LOADING")])
def test_what_the_server_refuses_is_not_done(server: RedisServer, fault: Fault, said: str) -> None:
    run, told = played(server, {(0, 0): fault}, ["INCR n", "INCR n", "GET n"])

    assert told[0][0].startswith(said)
    assert told[0][1:] == ["1", "1"]
    assert [step.fault for step in run.steps] == [fault.name, None, None]


def test_a_transaction_that_is_refused_leaves_the_connection_as_it_was(server: RedisServer) -> None:
    _, told = played(server, {(0, 0): ReadOnly()}, ["MULTI", "INCR n", "EXEC", "INCR n"])

    assert told[0][2].startswith("READONLY")
    assert told[0][3] == "1"


def test_what_goes_on_strikes_everybody_until_the_workers_are_done(server: RedisServer) -> None:
    run, told = played(server, {(0, 1): FromHereOn(Loading())}, ["SET a 1", "GET a", "GET a"], ["5", "SET b 1"])
    run.plan = {}
    _, afterwards = played(server, {}, ["GET a"])

    assert [answers[0][:7] for answers in (told[0][1:], told[0][2:], told[1])] == ["LOADING"] * 3
    assert [step.fault for step in run.steps] == [None, *["loading from here on"] * 3]
    assert server.value("GET", "b") is None
    assert afterwards == [["1"]]


def test_an_outage_ends_for_those_who_try_for_ever(server: RedisServer) -> None:
    _, told = played(server, {(0, 0): FromHereOn(Reset())}, ["INCR n"] * (STRIKES_MAX + 5))

    assert told[0].count("ConnectionResetError") == STRIKES_MAX
    assert told[0][-1] == "5"


class OneHost:
    """A network with one host in it."""

    def __init__(self, run: Run, wire: Callable[[], Wire]) -> None:
        self._run, self._wire = run, wire

    def run(self) -> Run | None:
        return self._run

    def wire(self, _: object) -> Wire:
        return self._wire()

    def numbered(self, _: str) -> str | None:
        return "240.0.0.1"


def asked(fault: Fault) -> tuple[str, list[int], list[Step], float]:
    """What a client with a time limit of 5 s is told, what the provider was asked, the history, and how long it took."""
    run, told, charges = Run(first, {(0, 0): fault}), list[str](), list[int]()

    def provider(request: Request) -> Answer:
        charges.append(len(request.body))
        return Answer(200, {"id": "ch_1"})

    network = OneHost(run, lambda: HttpWire(run, "pay.example", provider))

    def task() -> None:
        try:
            told.append(str(requests.post("http://pay.example/", json={"payment": "p1"}, timeout=5).json()))
        except (requests.RequestException, ValueError) as error:
            told.append(type(error).__name__)

    with controlled_sockets(network), virtual_time(network.run):
        run.go([task])
    return told[0], charges, run.steps, run.now_s


@pytest.mark.parametrize(
    ("fault", "told", "charges", "seconds"),
    [
        (ServerError(is_carried_out=False), "{'error': {'type': 'api_error', 'message': 'An unknown error occurred'}}", 0, 0),
        (ServerError(is_carried_out=True), "{'error': {'type': 'api_error', 'message': 'An unknown error occurred'}}", 1, 0),
        (BadGateway(is_carried_out=False), "JSONDecodeError", 0, 0),
        (BadGateway(is_carried_out=True), "JSONDecodeError", 1, 0),
        (ReadTimeout(is_carried_out=False), "ReadTimeout", 0, 5),
        (ReadTimeout(is_carried_out=True), "ReadTimeout", 1, 5),
        (MalformedReply(), "JSONDecodeError", 1, 0),
        (RateLimited(), "{'error': {'type': 'rate_limit_error'}}", 0, 0),
        (LostReply(), "ConnectionError", 1, 0),
        (Reset(), "ConnectionError", 0, 0),
    ],
)
def test_what_a_client_is_told_and_what_the_provider_did(fault: Fault, told: str, charges: int, seconds: float) -> None:
    answer, made, steps, took_s = asked(fault)

    assert (answer, len(made), took_s) == (told, charges, seconds)
    assert [step.fault for step in steps] == [fault.name]


def read_by_another(folder: Path) -> dict[bytes, bytes]:
    """What a server of its own reads from a log, when it starts at the moment that the log's clock shows."""
    library = compiled_clock()
    environment = {**os.environ, "INTERLOCK_CLOCK": str(folder / "clock"), "LD_PRELOAD": str(library or "")}
    binary = str(shutil.which("redis-server") or shutil.which("valkey-server"))
    options = ["--port", "0", "--unixsocket", str(folder / "second"), "--dir", str(folder), "--save", "", "--appendonly", "yes"]
    process = subprocess.Popen([binary, *options], env=environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not isinstance(found := told_by(folder / "second"), dict) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert isinstance(found, dict)
    return found


def told_by(path: Path) -> dict[bytes, bytes] | None:
    """What a server holds, once it is there and has read its log."""
    try:
        connection = Connection(path)
    except OSError:
        return None
    with closing(connection):
        keys = connection.value("KEYS", "*")
        return {key: connection.value("DUMP", key) for key in keys} if isinstance(keys, list) else None


def counted(kind: Any) -> Contract:
    @contract(workers=2, kinds=("delay",))
    def no_count_is_lost(world: World) -> None:
        told: list[int] = []
        found: list[int] = []
        subject = world.subject(kind, world.redis_url)

        def task() -> None:
            if not subject().process():
                sleep(35)  # Nobody should need longer than the lease.
                told.extend([1] * subject().process())
            else:
                told.append(1)

        world.run(task)
        world.recover(lambda: None, times=1)
        world.look(lambda: found.append(int(subject().redis.get("count") or 0)))
        world.check(Invariant("no count is lost", lambda: None if found[0] >= len(told) else f"{found[0]} of {len(told)}"))

    return no_count_is_lost


def charged(module: Any, name: str, *kinds: str, at_most: bool = False, workers: int = 2) -> Proof:
    @contract(workers=workers, kinds=kinds)
    def each_payment_is_charged_once(world: World) -> None:
        bank = world.provider(module.PROVIDER)
        subject = world.subject(getattr(module, name), world.redis_url)
        world.given(lambda: subject().enqueue("p1"))
        world.run(lambda: subject().process())
        world.recover(every_s=60, times=2)
        world.check(bank.charged_at_most_once("p1") if at_most else bank.charged_once("p1"))

    return prove(each_payment_is_charged_once, budget_s=BUDGET_S)


def test_a_worker_that_is_held_up_past_its_lease_is_found_out(faulty: Any) -> None:
    broken = prove(counted(faulty.CountsUnderLease), budget_s=BUDGET_S)
    survives = prove(counted(faulty.CountsWhileItHoldsTheLease), budget_s=BUDGET_S)

    assert broken.violation is not None
    assert [step.fault for step in broken.violation.steps if step.fault] == ["delay 36 s"]
    assert broken.violation.broken == ("1 of 2",)
    assert (survives.verdict, survives.reason) == (Verdict.PASS, "")


@pytest.mark.parametrize(
    ("kind", "breaks", "survives", "at_most", "told"),
    [
        ("restart", "DropsWhatTheServerRefuses", "LeavesWhatTheServerRefuses", False, "restart"),
        ("restart", "MarksThenCharges", "MarksThenChargesWithKey", True, "restart, the last 1 s lost"),
        ("failover", "MarksThenCharges", "MarksThenChargesWithKey", True, "failover, 1 write behind"),
        ("read only", "DropsWhatTheServerRefuses", "LeavesWhatTheServerRefuses", False, "read only"),
        ("out of memory", "DropsWhatTheServerRefuses", "LeavesWhatTheServerRefuses", False, "out of memory"),
        ("busy", "DropsWhatTheServerRefuses", "LeavesWhatTheServerRefuses", False, "busy"),
        ("loading", "DropsWhileTheServerLoads", "LeavesWhatTheServerRefuses", False, "loading"),
        ("server error", "ChargesAgainAfterTrouble", "ChargesAgainWithTheKey", True, "500, carried out"),
        ("bad gateway", "ChargesAgainAfterTrouble", "ChargesAgainWithTheKey", True, "502, carried out"),
        ("read timeout", "ChargesAgainAfterTrouble", "ChargesAgainWithTheKey", True, "read timeout, carried out"),
        ("malformed reply", "ChargesAgainAfterTrouble", "ChargesAgainWithTheKey", True, "malformed reply"),
        ("rate limited", "DropsWhatIsRefused", "KeepsWhatMayComeLater", False, "429"),
        ("refused", "ChargesWithoutRedis", "ChargesWithoutRedisWithKey", True, "refused from here on"),
        ("from here on", "ChargesWithoutRedis", "ChargesWithoutRedisWithKey", True, "from here on"),
    ],
)
def test_each_fault_breaks_its_mutant_and_not_the_design_beside_it(
    faulty: Any,
    kind: str,
    breaks: str,
    survives: str,
    at_most: bool,
    told: str,
) -> None:
    broken = charged(faulty, breaks, kind, at_most=at_most)
    right = charged(faulty, survives, kind, at_most=at_most)

    assert broken.violation is not None, broken.reason
    assert broken.verdict is Verdict.FAIL, broken.reason  # Real processes have repeated it.
    assert told in {step.fault for step in broken.violation.steps if step.fault and told in step.fault}.pop()
    assert (right.verdict, right.reason) == (Verdict.PASS, "")


@pytest.mark.parametrize(
    ("name", "at_most"),
    [
        ("DropsWhatTheServerRefuses", False),
        ("DropsWhileTheServerLoads", False),
        ("MarksThenCharges", True),
        ("ChargesWithoutRedis", True),
        ("ChargesAgainAfterTrouble", True),
        ("DropsWhatIsRefused", False),
    ],
)
def test_a_mutant_survives_the_usual_faults(faulty: Any, name: str, at_most: bool) -> None:
    assert charged(faulty, name, "crash before", "crash after", "reset", "lost reply", at_most=at_most).verdict is Verdict.PASS


def leased(kind: Any, *ahead_s: float, kinds: tuple[str, ...] = ()) -> Proof:
    @contract(workers=2, faults=int(bool(kinds)), kinds=kinds)
    def nobody_takes_what_is_taken(world: World) -> None:
        bank = world.provider("http://api.pay.example/charges")
        subject = world.subject(kind, world.redis_url)
        world.clocks(ahead_s=ahead_s)
        world.run(lambda: subject().process())
        world.recover(lambda: None, times=1)
        world.check(bank.charged_at_most_once("p1"))

    return prove(nobody_takes_what_is_taken, budget_s=BUDGET_S)


def test_a_lease_by_the_worker_s_own_clock_is_found_out_when_clocks_disagree_and_only_then(faulty: Any) -> None:
    assert leased(faulty.LeasesByItsOwnClock).verdict is Verdict.PASS
    assert leased(faulty.LeasesByItsOwnClock, 0.0, 31.0).verdict is Verdict.FAIL
    assert leased(faulty.LeasesByTheServersClock, 0.0, 31.0).verdict is Verdict.PASS


def test_a_clock_that_jumps_while_a_worker_works_is_found_out(faulty: Any) -> None:
    broken = leased(faulty.LeasesByItsOwnClock, kinds=("clock jump",))

    assert broken.violation is not None
    assert broken.verdict is Verdict.FAIL, broken.reason
    assert {step.fault for step in broken.violation.steps if step.fault} <= {"clock jumps 31 s ahead", "clock jumps 31 s back"}
    assert leased(faulty.LeasesByTheServersClock, kinds=("clock jump",)).verdict is Verdict.PASS


def test_faults_that_never_strike_are_counted(faulty: Any) -> None:
    @contract(kinds=("reset",))
    def is_rarely_seen(world: World) -> None:
        bank = world.provider(faulty.PROVIDER)

        def writes() -> None:
            client = redis.Redis.from_url(world.redis_url)
            client.set("x", "1")
            client.set("x", "2")

        def reads() -> None:
            client = redis.Redis.from_url(world.redis_url)
            if [client.get("x"), client.get("x")] == [b"1", b"2"]:  # Only with two preemptions.
                client.set("seen", "both")

        world.run(writes, reads)
        world.recover(lambda: None, times=1)
        world.check(bank.charged_at_most_once("p1"))

    alone = charged(faulty, "MarksThenChargesWithKey", "reset", at_most=True, workers=1)
    rare = prove(is_rarely_seen, budget_s=BUDGET_S)

    assert (alone.placements, alone.unused) == (8, 0)  # Four effects, each without and with a preemption.
    assert (rare.placements, rare.unused) == (10, 2)  # Five effects, and the fifth does not come within the bounds.


def test_a_provider_may_forget_keys_or_repeat_its_500() -> None:
    def answers(mood: str) -> tuple[list[int], int]:
        provider = Provider(mood)
        request = Request("POST", "/", {"idempotency-key": "k"}, b'{"payment": "p1"}')
        return [provider.answer(request)[0] for _ in range(2)], provider.charged("p1")

    assert answers("ok") == ([200, 200], 1)
    assert answers("forgets keys") == ([200, 200], 2)
    assert answers("charges and answers 500") == ([500, 500], 1)


def test_a_kind_that_does_not_exist_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="did you mean 'restart'"):
        contract(kinds=("restarts",))


def test_a_server_that_is_gone_refuses_connections() -> None:
    run = Run(first, {(0, 0): Refused()})
    told: list[bool] = []

    def task() -> None:
        try:
            run.effect(WRITE, lambda: None, str)
        except ConnectionResetError:
            told.extend([run.refuses(READ), run.refuses(Effect("http", "connect", writes=frozenset({"http:x"})))])

    run.go([task])

    assert told == [True, False]
    assert [step.answer for step in run.steps][-1] == "connection refused"


def counts_up(client: Any) -> None:
    seen = int(client.get("n") or 0)
    client.set("n", seen + 1)


def counts_up_later(client: Any) -> None:
    sleep(5)
    counts_up(client)


def counts_up_after_an_empty_queue(client: Any) -> None:
    client.blpop("queue", 5)
    counts_up(client)


async def counts_up_later_beside(client: Any) -> None:
    await asyncio.sleep(5)
    counts_up(client)


@pytest.mark.usefixtures("redis_server")
@pytest.mark.parametrize("later", [counts_up_later, counts_up_after_an_empty_queue, counts_up_later_beside])
def test_a_worker_that_never_waits_may_be_held_up_for_longer_than_another_one_does(later: Callable[[Any], object]) -> None:
    @contract(workers=2, kinds=("delay",))
    def no_count_is_lost(world: World) -> None:
        def client() -> Any:
            return redis.Redis.from_url(world.redis_url)

        world.run(lambda: counts_up(client()), lambda: later(client()))
        world.recover(lambda: None, times=1)
        world.check(Invariant("both count", lambda: None if world.redis("GET", "n") == b"2" else "a count is lost"))

    proof = prove(no_count_is_lost, budget_s=BUDGET_S)

    assert proof.violation is not None, proof.reason
    assert [(step.worker, step.fault) for step in proof.violation.steps if step.fault] == [("A", "delay 6 s")]


@pytest.mark.usefixtures("redis_server")
def test_a_worker_is_held_up_for_as_long_as_any_of_its_schedules_asks_for() -> None:
    """In the first schedule nothing lasts: only when B comes first does A see the flag."""

    @contract(workers=2, kinds=("delay",))
    def nobody_is_late(world: World) -> None:
        def client() -> Any:
            return redis.Redis.from_url(world.redis_url)

        def takes_a_lease() -> None:
            client().set("lease", "A", ex=30 if client().get("flag") else None)
            client().set("done", "1")

        world.run(takes_a_lease, lambda: client().set("flag", "1"))
        world.recover(lambda: None, times=1)
        world.check(Invariant("in time", lambda: "31 s late" if late(world) else None))

    def late(world: World) -> bool:
        return any(step.fault == "delay 31 s" and step.effect.said.startswith("SET done") for step in world.history)

    assert prove(nobody_is_late, budget_s=BUDGET_S).violation is not None


@pytest.mark.usefixtures("redis_server")
def test_an_invariant_that_asks_for_the_history_is_shown_all_faults_and_not_only_those_that_differ() -> None:
    """It may tell apart what leaves the same behind: whether a worker was killed after a write or before the next."""

    def proof_of(ask: Callable[[World], object]) -> Proof:
        @contract(workers=2, faults=1, kinds=("crash before", "crash after"))
        def adds_twice(world: World) -> None:
            def add() -> None:
                client = redis.Redis.from_url(world.redis_url)
                client.incr("a")
                client.incr("a")

            def broken() -> None:
                ask(world)

            world.run(add)
            world.check(Invariant("it is asked", broken))

        return prove(adds_twice, budget_s=BUDGET_S)

    few, all_of_them = proof_of(lambda _: None), proof_of(lambda world: world.history)
    late = proof_of(lambda world: world.mishaps and world.history)

    assert [proof.verdict for proof in (few, all_of_them, late)] == [Verdict.PASS] * 3
    assert few.placements < all_of_them.placements == late.placements


def test_no_connection_ends_where_there_is_none() -> None:
    @contract(workers=1)
    def it_is_done(world: World) -> None:
        done = world.outside([0])
        world.run(lambda: world.effect(Effect("section", "goes in"), lambda: done.append(1)))
        world.recover(lambda: None, times=1)
        world.check(Invariant("no error", lambda: next((s.effect.said for s in world.history if s.effect.kind == "end"), None)))

    assert prove(it_is_done, budget_s=BUDGET_S).violation is None
