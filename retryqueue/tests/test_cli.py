"""The command, run on a real server: what it says, what it changes, and how it ends."""

from __future__ import annotations

import base64
import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from servers import RedisServer, free_port

import retryqueue.cli.verbs
from retryqueue import Payment, RetryQueue, State, protocol
from retryqueue.cli import showing
from retryqueue.cli.console import safe, without_login
from retryqueue.cli.main import main
from retryqueue.cli.verbs import live
from retryqueue.migration.report import Report
from retryqueue.protocol import Verdict
from retryqueue.server import Server
from retryqueue.states import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUN = [sys.executable, "-c", "from retryqueue.cli.main import run; run()"]
VERBS = sorted(path.stem for path in Path(str(retryqueue.cli.verbs.__file__)).parent.glob("[a-z]*.py"))
CARD = "4242 4242 4242 4242"
CHARGES = """
import asyncio
from retryqueue import Ambiguous, Declined, Succeeded

def pay(lease):
    return Succeeded(f"ch_{lease.key}")

async def decline(lease):
    return Declined("stolen_card", final=True)

class Provider:
    @staticmethod
    def pay(lease):
        return Succeeded(f"class_{lease.key}")

number = 5
"""


class Desk:
    """A queue, the command on it, and a way to bring payments into each state."""

    def __init__(self, server: RedisServer, queue: RetryQueue, capsys: pytest.CaptureFixture[str]) -> None:
        self.url = server.url
        self.queue = queue
        self.redis = server
        self._capsys = capsys
        self._server = Server(server.url, patience_s=5, connections=2)
        self._claims = 0

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        self._capsys.readouterr()
        code = main(["--server", self.url, *arguments])
        out, err = self._capsys.readouterr()
        return code, out, err

    def enqueue(self, *keys: str) -> None:
        for key in keys:
            fields = {"user_id": "u1", "amount_minor": 4999, "currency": "EUR", "payment_method_id": "pm_secret", "cart": 7}
            self.queue.enqueue(Payment.from_fields(key, fields))

    def leased(self, *keys: str) -> None:
        self.enqueue(*keys)
        self._claim(len(keys))

    def dead(self, *keys: str, reason: str = "stolen_card") -> None:
        self.enqueue(*keys)
        shard, policy = self._shard(), self.queue.operations.policy
        verdicts = [Verdict(lease, "bury", (reason,)) for lease in self._claim(len(keys))]
        assert self._ask(protocol.settle(shard, policy, "bury", verdicts)) == ["ok"] * len(keys)

    def succeed(self) -> None:
        """Finishes what is due."""
        verdicts = [Verdict(lease, "succeed", ("ch_1",)) for lease in self._claim(100)]
        self._ask(protocol.settle(self._shard(), self.queue.operations.policy, "succeed", verdicts))

    def walk(self, key: str, steps: list[str]) -> None:
        """Takes the only payment that is due through these steps."""
        verdicts: dict[str, tuple[Any, tuple[str | int, ...]]] = {
            "release": ("release", ()),
            "unknown": ("reschedule", (0, 0, "HTTP 500")),
            "decline": ("reschedule", (0, 1, "no funds")),
            "bury": ("bury", ("stolen_card",)),
            "succeed": ("succeed", ("ch_1",)),
        }
        lease: Any = None
        for step in steps:
            if step == "lease":
                (lease,) = self._claim(1)
            elif step == "requeue":
                self.queue.requeue(key)
            else:
                name, facts = verdicts[step]
                call = protocol.settle(self._shard(), self.queue.operations.policy, name, [Verdict(lease, name, facts)])
                assert self._ask(call) == ["ok"]

    def reconcile(self, key: str) -> None:
        fields = {"user_id": "u1", "amount_minor": 4999, "currency": "EUR", "payment_method_id": "pm_secret"}
        self._server.carry(self.queue.operations.hold([Payment.from_fields(key, fields)], "HTTP 500"))

    def quarantined(self, key: str, raw: bytes = b"\x00\x1b[31m\xff no payment", reason: str = "not JSON") -> None:
        assert self._server.carry(self.queue.operations.refuse(key, raw, reason))

    def state(self, key: str) -> State | None:
        item = self.queue.inspect(key)
        return None if item is None else item.state

    def is_in(self, state: State, key: str) -> bool:
        return self.state(key) is state

    def close(self) -> None:
        self._server.close()

    def _claim(self, most: int) -> Any:
        self._claims += 1
        claim = protocol.claim(self._shard(), self.queue.operations.policy, "worker-1", str(self._claims), most)
        return self._ask(claim).leases

    def _shard(self) -> Any:
        return self._server.carry(self.queue.operations.shards())[0]

    def _ask(self, call: Any) -> Any:
        return self._server.carry(self.queue.operations.ask(call))


@pytest.fixture
def desk(server: RedisServer, queue: RetryQueue, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    queue.status()  # Makes it.
    desk = Desk(server, queue, capsys)
    yield desk
    desk.close()


@pytest.fixture
def charges(tmp_path: Path) -> Path:
    """A folder with a module of charge functions."""
    (tmp_path / "charges.py").write_text(CHARGES)
    (tmp_path / "broken.py").write_text("import no_such_package_anywhere\n")
    return tmp_path


@contextmanager
def started(*arguments: str, folder: Path | None = None, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The command as a process of its own, killed at the end if it is still there."""
    path = os.pathsep.join(str(Path(part).resolve()) for part in sys.path if part)
    env = {**os.environ, "PYTHONPATH": path, **environment}
    process = subprocess.Popen(
        [*RUN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=env
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def make(url: str, name: str = "payments") -> None:
    """Makes an empty queue."""
    with RetryQueue(url, name=name, durability="ignore") as queue:
        queue.status()


def wait_until(holds: Callable[[], bool], patience_s: float = 90) -> None:
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, "this never became so"
        time.sleep(0.02)


# --- The command itself


def test_every_file_among_the_verbs_is_a_verb_with_a_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"drain", "inspect", "list", "live", "purge", "reconcile", "requeue", "resume", "status", "worker"} <= {*VERBS}
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    for verb in VERBS:
        assert re.search(rf"^    {verb}\b", listed, re.MULTILINE)
        assert main([verb, "--help"]) == 0
        assert "exit codes:" in capsys.readouterr().out


def test_help_imports_neither_the_worker_of_prometheus_nor_its_client() -> None:
    code = (
        "import sys; from retryqueue.cli.main import main; main(['worker', '--help']); "
        "print('prometheus_client' in sys.modules, file=sys.stderr)"
    )
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.stderr.strip() == "False"


@pytest.mark.parametrize(
    "arguments", [[], ["forget"], ["status", "--colour"], ["list", "lost"], ["--patience-s", "-1", "status"]]
)
def test_arguments_that_are_not_right_are_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--server", "redis://localhost", *arguments]) == 2
    assert "error" in capsys.readouterr().err


def test_without_a_server_the_command_says_where_to_name_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RETRYQUEUE_SERVER", raising=False)
    assert main(["status"]) == 2
    assert "RETRYQUEUE_SERVER" in capsys.readouterr().err


def test_the_server_may_be_named_by_the_environment_or_behind_the_verb(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRYQUEUE_SERVER", desk.url)
    make(desk.url, "refunds")
    assert main(["status"]) == 0
    assert main(["status", "--server", desk.url, "--queue", "refunds", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["queue"] == "refunds"


def test_an_option_of_the_command_keeps_its_value_when_the_verb_does_not_repeat_it(desk: Desk) -> None:
    desk.enqueue("order-1")
    make(desk.url, "status")
    code, out, _ = desk.run("--queue", "status", "status", "--format", "json")
    assert (code, json.loads(out)["queue"], json.loads(out)["counts"]["scheduled"]) == (0, "status", 0)


def unanswered() -> list[list[str]]:
    plain = [["status"], ["inspect", "k"], ["list", "dead"], ["requeue", "k"], ["reconcile", "k", "--not-paid"], ["drain"]]
    return [*plain, ["resume"], ["live"], ["purge", "k", "--to", os.devnull], ["requeue", "--all-dead", "--reason", ""]]


@pytest.mark.parametrize("arguments", unanswered(), ids=" ".join)
def test_a_server_that_does_not_answer_is_unknown_and_never_a_no(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--server", f"redis://127.0.0.1:{free_port()}", "--patience-s", "0", *arguments]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "unknown" in err
    assert "no answer" in err


@pytest.mark.parametrize("arguments", unanswered(), ids=" ".join)
def test_a_queue_that_is_not_there_is_a_no_and_is_not_made(desk: Desk, arguments: list[str]) -> None:
    code, out, err = desk.run("--queue", "paymnets", *arguments)
    assert (code, out) == (1, "")
    assert err == "retryqueue: there is no queue paymnets on this server: is the name right?\n"
    with desk.redis.client() as client:
        assert client.keys("{paymnets*") == []


@pytest.mark.parametrize("verb", ["status", "worker"])
@pytest.mark.parametrize("wrong", ["password", "database"])
def test_a_server_that_refuses_is_a_usage_error_of_one_line(wrong: str, verb: str, charges: Path) -> None:
    with RedisServer() as own:
        address = own.url.replace("//", "//:hunter2@") if wrong == "password" else own.url.replace("/0", "/99")
        arguments = ["-q", "worker", "charges:pay"] if verb == "worker" else ["status"]
        with own.client() as client:
            client.config_set("requirepass", "hunter3" if wrong == "password" else "")
        with started("--server", address, *arguments, folder=charges) as process:
            out, err = process.communicate(timeout=90)
    assert (process.returncode, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert err.startswith("retryqueue: ")
    assert "hunter" not in err


def test_a_fault_of_our_own_is_told_as_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: RetryQueue) -> Status:
        raise RuntimeError("at redis://me:hunter2@somewhere")

    monkeypatch.setattr(RetryQueue, "status", fail)
    code, _, err = desk.run("status")
    assert code == 70
    assert "please report it" in err
    assert "hunter2" not in err


@pytest.mark.parametrize(
    "address",
    [
        "redis://me:hunter2/x@localhost",
        "redis://me:hunter2@localhost:port",
        "postgres://me:hunter2@localhost",
        "me:hunter2@localhost",
        "redis+sentinel://me:hunter2@localhost",
        "redis://localhost?password=hunter2&socket_timeout=soon",
    ],
)
@pytest.mark.parametrize("verb", ["status", "worker"])
def test_an_address_that_is_none_is_refused_without_its_password(
    verb: str, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["charges:pay"] if verb == "worker" else []
    assert main(["--server", address, "--patience-s", "0", verb, *arguments]) == 2
    assert main([verb, address, "--server", "redis://h", "--no-such-option"]) == 2
    out, err = capsys.readouterr()
    assert "address" in err
    assert "hunter2" not in out + err


def test_a_queue_s_name_that_is_none_is_refused(desk: Desk) -> None:
    code, _, err = desk.run("--queue", "two words", "status")
    assert code == 2
    assert "queue's name" in err


def test_the_password_of_the_server_is_never_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with RedisServer() as own:
        make(own.url)
        with own.client() as client:
            client.config_set("requirepass", "hunter2")
        good, bad = (own.url.replace("//", f"//:{password}@") for password in ("hunter2", "hunter2x"))
        assert main(["--server", good, "status"]) == 0
        assert "redis://***@127.0.0.1" in capsys.readouterr().out
        assert main(["--server", good, "status", "--format", "json"]) == 0
        assert main(["--server", bad, "status"]) == 2
        assert main(["--server", own.url, "status"]) == 2
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 2
    assert "hunter2" not in out + err


def test_user_and_password_are_taken_out_of_any_text() -> None:
    text = "at redis://me:a/b@c@host:1/0?password=x&db=1 and rediss://:p@h,h2/0"
    assert without_login(text) == "at redis://***@host:1/0?password=***&db=1 and rediss://***@h,h2/0"
    assert without_login("redis://localhost:6379/0") == "redis://localhost:6379/0"


def test_what_comes_from_the_queue_cannot_steer_the_terminal() -> None:
    assert safe("a\x1b[2Jb\nc\u202ed é") == r"a\x1b[2Jb\nc\u202ed é"


def test_a_reader_that_goes_away_ends_the_command_quietly(desk: Desk) -> None:
    desk.enqueue(*(f"order-{number}" for number in range(300)))
    with started("--server", desk.url, "list", "scheduled", "--limit", "0") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(30) == 141
        assert len(process.stderr.read().splitlines()) == 1, "nothing but the head line"


# --- status


def test_status_counts_every_state(desk: Desk) -> None:
    desk.dead("d-1", "d-2")
    desk.leased("l-1")
    desk.enqueue("s-1", "s-2", "s-3")
    desk.reconcile("r-1")
    desk.quarantined("q-1")
    code, out, err = desk.run("status")
    assert (code, err) == (0, "")
    counts = {words[0]: words[1] for line in out.splitlines() if len(words := line.split()) == 2}
    expected = {"scheduled": "3", "leased": "1", "succeeded": "0", "dead": "2", "reconcile": "1", "quarantined": "1"}
    assert expected.items() <= counts.items()
    assert re.search(r"^workers seen in the last minute 1$", out, re.MULTILINE)
    assert "127.0.0.1" in out


def test_status_as_json_states_its_version_and_the_same_numbers(desk: Desk) -> None:
    desk.dead("d-1")
    desk.leased("l-1")
    desk.enqueue("s-1")
    code, out, _ = desk.run("status", "--format", "json")
    told = json.loads(out)
    assert (code, told["version"], told["queue"], told["shards"], told["paused"]) == (0, 1, "payments", 1, False)
    assert told["counts"] == {"scheduled": 1, "leased": 1, "succeeded": 0, "dead": 1, "reconcile": 0, "quarantined": 0}
    assert told["workers"] == 1
    assert list(told["workers_seen_ms_ago"]) == ["worker-1"]
    assert told["next_due_ms"] <= told["now_ms"] < told["next_lease_end_ms"]
    assert told["lag_ms"] == told["now_ms"] - told["next_due_ms"]


@pytest.mark.parametrize(
    ("settings", "danger"),
    [
        ({"appendfsync": "always"}, None),
        ({"appendfsync": "everysec"}, "appendfsync everysec"),
        ({"appendonly": "no"}, "appendonly no"),
        ({"appendfsync": "always", "maxmemory": "100mb", "maxmemory_policy": "allkeys-lru"}, "maxmemory-policy allkeys-lru"),
    ],
)
def test_status_tells_whether_the_server_keeps_what_it_accepts(
    settings: dict[str, Any], danger: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with RedisServer(**settings) as own:
        make(own.url)
        assert main(["--server", own.url, "live"]) == 0
        assert ("payments may be lost" in capsys.readouterr().out) == (danger is not None)
        assert main(["--server", own.url, "status"]) == 0
        text = capsys.readouterr().out
        assert main(["--server", own.url, "status", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)["durability"]
    assert told["durable"] == (danger is None)
    assert ("payments may be lost" in text) == (danger is not None)
    if danger:
        assert danger in text
        assert danger in told["dangers"][0]


# --- inspect and list


def test_inspect_tells_every_field_and_masks_what_is_paid_with(desk: Desk) -> None:
    desk.dead("order-1", reason="stolen_card")
    code, out, _ = desk.run("inspect", "order-1")
    assert code == 0
    for told in ("order-1", "dead", "1 of 5", "order-1:1", "u1", "4999", "EUR", "stolen_card", "UTC"):
        assert told in out
    assert "pm_secret" not in out
    assert "cart" not in out
    shown = desk.run("inspect", "order-1", "--show-payment")[1]
    assert "pm_secret" in shown
    assert '{"cart": 7}' in shown


def test_inspect_as_json_has_every_field_of_the_item(desk: Desk) -> None:
    desk.dead("order-1")
    item = desk.queue.inspect("order-1")
    assert item is not None
    masked = json.loads(desk.run("inspect", "order-1", "--format", "json")[1])
    shown = json.loads(desk.run("inspect", "order-1", "--format", "json", "--show-payment")[1])
    assert {name for name in type(item).__slots__ if name not in masked} == set()
    for name in (
        "key",
        "state",
        "since_ms",
        "attempt",
        "limit",
        "generation",
        "enqueued_at_ms",
        "deadline_ms",
        "note",
        "opened",
    ):
        assert masked[name] == getattr(item, name)
    assert (masked["version"], masked["reference"]) == (1, None)
    assert (masked["last_provider_key"], masked["next_provider_key"]) == ("order-1:1", None)
    assert (masked["payment"]["payment_method_id"], masked["payment"]["details"]) == ("(masked)", "(masked)")
    assert (shown["payment"]["payment_method_id"], shown["payment"]["details"]) == ("pm_secret", {"cart": 7})


def test_inspect_of_a_succeeded_payment_tells_the_reference(desk: Desk) -> None:
    desk.enqueue("order-1")
    desk.succeed()
    text, told = desk.run("inspect", "order-1")[1], json.loads(desk.run("inspect", "order-1", "--format", "json")[1])
    assert re.search(r"^reference +ch_1$", text, re.MULTILINE)
    assert not re.search(r"^note\b", text, re.MULTILINE)
    assert (told["reference"], told["note"]) == ("ch_1", "")


@pytest.mark.parametrize(
    ("steps", "last", "following"),
    [
        ([], None, "p:1"),
        (["lease"], "p:1", None),
        (["lease", "release"], None, "p:1"),
        (["lease", "unknown"], "p:1", "p:1"),
        (["lease", "decline"], "p:1", "p:2"),
        (["lease", "decline", "lease"], "p:2", None),
        (["lease", "decline", "lease", "release"], "p:1", "p:2"),
        (["lease", "decline", "lease", "unknown"], "p:2", "p:2"),
        (["lease", "bury"], "p:1", None),
        (["lease", "bury", "requeue"], "p:1", "p:2"),
        (["lease", "succeed"], "p:1", None),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_inspect_tells_the_provider_key_that_was_sent_last_and_the_one_that_will_be_next(
    desk: Desk, steps: list[str], last: str | None, following: str | None
) -> None:
    desk.enqueue("p")
    desk.walk("p", steps)
    told = json.loads(desk.run("inspect", "p", "--format", "json")[1])
    assert (told["last_provider_key"], told["next_provider_key"]) == (last, following)
    shown = dict(re.split(r"  +", line, maxsplit=1) for line in desk.run("inspect", "p")[1].splitlines())
    assert (shown["last key sent"], shown.get("next key")) == (last or "none", following)


def test_a_payment_that_was_only_held_has_sent_no_key(desk: Desk) -> None:
    desk.reconcile("r-1")
    told = json.loads(desk.run("inspect", "r-1", "--format", "json")[1])
    assert (told["last_provider_key"], told["next_provider_key"]) == (None, None)


def test_inspect_says_no_when_there_is_no_such_payment(desk: Desk) -> None:
    code, out, err = desk.run("inspect", "order-\x1b[2J")
    assert (code, out) == (1, "")
    assert r"order-\x1b[2J: there is no such payment" in err


def test_a_key_that_is_no_text_is_a_usage_error(desk: Desk) -> None:
    assert desk.run("inspect", os.fsdecode(b"order-\xff"))[0] == 2


def test_the_bytes_of_a_quarantined_item_are_shown_in_printable_ascii(desk: Desk) -> None:
    desk.quarantined("item-1", b"\x00\x1b[31m\xff\xc3\xa9 " + CARD.encode(), "not JSON\x1b[1m")
    for arguments in (["inspect", "item-1"], ["inspect", "item-1", "--show-payment"], ["list", "quarantined"]):
        code, out, _ = desk.run(*arguments)
        assert code == 0
        assert "\x1b" not in out
        assert "not JSON" in out
    assert r"\x00\x1b[31m\\xff\xe9" in desk.run("inspect", "item-1")[1]
    assert CARD not in desk.run("inspect", "item-1")[1]
    shown = json.loads(desk.run("inspect", "item-1", "--show-payment", "--format", "json")[1])
    assert base64.b64decode(shown["raw_base64"]) == b"\x00\x1b[31m\xff\xc3\xa9 " + CARD.encode()
    assert json.loads(desk.run("inspect", "item-1", "--format", "json")[1])["raw_base64"] is None


@pytest.mark.parametrize(
    "raw",
    [
        b'["u1",4999,"XXX","pm_secret",{"gift":"pm_secret"},{}]',
        b'{"user_id":"u1","payment_method_id":"pm_secret"}',
        b'{"retry":{"Card":{"number":"pm_secret"}}}',
        b'[[{"details":"pm_secret"}]]',
        b'["u1",4999,"EUR","pm_secret",{"gift":1},{},',
        b'\x9e\x01\xa6leased\x01\x05\x00\xd9\x2c["u1",4999,"XXX","pm_secret",{"gift":"pm_secret"},{}]\xa0',
        b'{"payment_method_id": "pm_secret", "amount": 4999.0, \xff',
        b'{"amount":1,"Payment_Method_Id":"pm_secret',
        b"{'payment_method_id': 'pm_secret', 'amount': 1}",
        b'{"card":{"number":"1","holder":{"name":"pm_secret"}},\x00}',
        b'{"details": pm_secret, "amount": 1}',
    ],
)
def test_the_fields_of_quarantined_json_are_masked_like_those_of_a_payment(desk: Desk, raw: bytes) -> None:
    desk.quarantined("item-1", raw, "currency must be an ISO 4217 code")
    assert "pm_secret" not in desk.run("inspect", "item-1")[1]
    assert "(masked)" in desk.run("inspect", "item-1")[1]
    assert "pm_secret" in desk.run("inspect", "item-1", "--show-payment")[1]


def test_bytes_without_end_are_cut_for_the_terminal() -> None:
    assert len(showing.raw_text(b"x" * 1_000_000, show_payment=True)) < 2 * showing.LONGEST_RAW
    assert showing.raw_text(b"[" * 100_000, show_payment=False).startswith("[[[")


def test_list_tells_the_payments_of_one_state_up_to_a_limit(desk: Desk) -> None:
    desk.enqueue(*(f"order-{number:03}" for number in range(150)))
    desk.reconcile("other-1")
    code, out, err = desk.run("list", "scheduled")
    assert (code, len(out.splitlines())) == (0, 100)
    assert "100 of 150 payments scheduled" in err
    assert len(desk.run("list", "scheduled", "--limit", "0")[1].splitlines()) == 150
    assert len(desk.run("list", "scheduled", "--limit", "120")[1].splitlines()) == 120
    assert desk.run("--quiet", "list", "scheduled", "--limit", "1")[2] == ""
    assert desk.run("list", "dead")[:2] == (0, "")
    assert desk.run("list", "reconcile")[1].startswith("other-1  in reconcile since")
    assert "1 of 1 payment in reconcile" in desk.run("list", "reconcile")[2]
    assert "0 of 0 payments quarantined" in desk.run("list", "quarantined")[2]


def test_list_names_the_queue_and_aligns_its_columns(desk: Desk) -> None:
    desk.dead("d-1", "a-much-longer-key", "d-2")
    _, out, err = desk.run("list", "dead")
    assert err.startswith("queue payments on redis://127.0.0.1")
    for word in ("dead since", "attempt 1 of 5", "4999 EUR of u1", "stolen_card"):
        assert len({line.index(word) for line in out.splitlines()}) == 1


def test_the_help_of_list_explains_each_state(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--help"]) == 0
    told = capsys.readouterr().out
    assert [state for state in State if not re.search(rf"^{state} +\w+", told, re.MULTILINE)] == []


def test_list_as_json_is_one_masked_payment_on_each_line(desk: Desk) -> None:
    desk.enqueue("order-1", "order-2")
    out = desk.run("list", "scheduled", "--format", "json")[1]
    assert sorted(json.loads(line)["key"] for line in out.splitlines()) == ["order-1", "order-2"]
    assert "pm_secret" not in out


def test_times_are_shown_in_utc_and_nonsense_as_it_is() -> None:
    assert showing.moment(1_729_175_852_250) == "2024-10-17 14:37:32.250 UTC"
    assert showing.moment(10**30) == f"{10**30} ms"
    assert showing.moment(0) == "unknown"
    assert [showing.duration(value) for value in (5, 1500, 90_000, 7_200_000)] == ["5 ms", "1.5 s", "1.5 min", "2.0 h"]


# --- requeue


def test_requeue_schedules_dead_payments_and_refuses_others(desk: Desk) -> None:
    desk.dead("d-1", "d-2")
    desk.reconcile("r-1")
    code, out, err = desk.run("requeue", "d-1", "r-1", "none-1", "d-2")
    assert (code, out.split()) == (1, ["d-1", "d-2"])
    assert "r-1: it must be dead for this, and is in reconcile" in err
    assert "none-1" in err
    assert [desk.state(key) for key in ("d-1", "d-2", "r-1")] == [State.SCHEDULED, State.SCHEDULED, State.RECONCILE]


def test_a_requeued_payment_has_the_attempts_of_the_policy_that_was_given(desk: Desk) -> None:
    desk.dead("d-1")
    assert desk.run("requeue", "d-1", "--attempts", "2")[0] == 0
    item = desk.queue.inspect("d-1")
    assert item is not None
    assert (item.attempt, item.limit) == (1, 3)
    assert desk.run("requeue", "d-1", "--attempts", "0")[0] == 2


def test_requeue_of_all_dead_counts_first_and_does_nothing_without_yes(desk: Desk) -> None:
    desk.dead("d-1", "d-2", reason="Insufficient_Funds")
    desk.dead("d-3", reason="stolen_card")
    code, out, err = desk.run("requeue", "--all-dead", "--reason", "insufficient")
    assert (code, out) == (1, "")
    assert "2 dead payments" in err
    assert desk.queue.status().counts[State.DEAD] == 3
    code, out, _ = desk.run("requeue", "--all-dead", "--reason", "insufficient", "--yes")
    assert (code, sorted(out.split())) == (0, ["d-1", "d-2"])
    assert desk.state("d-3") is State.DEAD
    assert desk.run("requeue", "--all-dead", "--reason", "insufficient")[0] == 0


def test_requeue_of_all_dead_misses_none_though_they_leave_the_list_meanwhile(desk: Desk) -> None:
    for start in range(0, 350, 50):
        desk.dead(*(f"d-{number}" for number in range(start, start + 50)))
    code, out, _ = desk.run("requeue", "--all-dead", "--reason", "", "--yes")
    assert (code, len(set(out.split()))) == (0, 350)
    assert desk.queue.status().counts[State.DEAD] == 0


@pytest.mark.parametrize(
    "arguments", [[], ["k", "--all-dead", "--reason", ""], ["--all-dead"], ["k", "--reason", "x"], ["--all-dead", "--yes"]]
)
def test_requeue_needs_to_know_which(desk: Desk, arguments: list[str]) -> None:
    assert desk.run("requeue", *arguments)[0] == 2


# --- reconcile


def test_reconcile_settles_a_payment_as_paid(desk: Desk) -> None:
    desk.reconcile("r-1")
    assert desk.run("reconcile", "r-1", "--paid", "ch_9")[:2] == (0, "r-1  succeeded\n")
    item = desk.queue.inspect("r-1")
    assert item is not None
    assert (item.state, item.note) == (State.SUCCEEDED, "ch_9")


def test_to_settle_a_payment_once_more_under_the_same_reference_changes_nothing(desk: Desk) -> None:
    desk.reconcile("r-1")
    assert desk.run("reconcile", "r-1", "--paid", "ch_9")[0] == 0
    code, out, err = desk.run("reconcile", "r-1", "--paid", "ch_9")
    assert (code, out) == (0, "r-1  succeeded\n")
    assert "already so" in err
    assert desk.run("reconcile", "r-1", "--paid", "ch_8")[0] == 1
    assert desk.run("reconcile", "r-1", "--not-paid")[0] == 1
    item = desk.queue.inspect("r-1")
    assert item is not None
    assert item.note == "ch_9"


def test_reconcile_schedules_a_payment_that_was_not_paid_under_a_new_provider_key(desk: Desk) -> None:
    desk.reconcile("r-1")
    assert desk.run("reconcile", "r-1", "--not-paid")[:2] == (0, "r-1  scheduled\n")
    item = desk.queue.inspect("r-1")
    assert item is not None
    assert (item.state, item.generation) == (State.SCHEDULED, 2)


def test_reconcile_says_no_to_a_payment_in_another_state(desk: Desk) -> None:
    desk.enqueue("s-1")
    code, _, err = desk.run("reconcile", "s-1", "--paid", "ch_9")
    assert code == 1
    assert "s-1: it must be in reconcile for this, and is scheduled" in err
    assert desk.run("reconcile", "none-1", "--not-paid")[0] == 1
    assert desk.state("s-1") is State.SCHEDULED


@pytest.mark.parametrize(
    "arguments",
    [[], ["--paid", "ch_1", "--not-paid"], ["--paid", ""], ["--paid", "  "], ["--paid", "a\nb"], ["--paid", "x" * 256]],
)
def test_reconcile_needs_exactly_one_answer_and_a_real_reference(desk: Desk, arguments: list[str]) -> None:
    desk.reconcile("r-1")
    assert desk.run("reconcile", "r-1", *arguments)[0] == 2
    assert desk.state("r-1") is State.RECONCILE


# --- purge


def test_purge_writes_each_payment_whole_before_it_is_forgotten(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.dead("d-1")
    desk.quarantined("q-1", b"\xff\x00")
    file, seen, real = tmp_path / "purged.jsonl", [], os.fsync

    def fsync(number: int) -> None:
        real(number)
        if stat.S_ISREG(os.fstat(number).st_mode):
            seen.append((len(file.read_text().splitlines()), desk.state("d-1"), desk.state("q-1")))

    monkeypatch.setattr(os, "fsync", fsync)
    code, out, _ = desk.run("purge", "d-1", "q-1", "d-1", "--to", str(file))
    assert (code, out.split()) == (0, ["d-1", "q-1"])
    assert seen == [(1, State.DEAD, State.QUARANTINED), (2, None, State.QUARANTINED)]
    dead, quarantined = map(json.loads, file.read_text().splitlines())
    assert (dead["version"], dead["payment"]["payment_method_id"], dead["note"]) == (1, "pm_secret", "stolen_card")
    assert base64.b64decode(quarantined["raw_base64"]) == b"\xff\x00"
    assert desk.state("q-1") is None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_purge_adds_to_a_file_that_is_there(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "purged.jsonl"
    file.write_text("before\n")
    desk.dead("d-1")
    assert desk.run("purge", "d-1", "--to", str(file))[0] == 0
    assert file.read_text().startswith("before\n{")


def test_purge_refuses_every_state_but_two(desk: Desk, tmp_path: Path) -> None:
    desk.dead("d-1")
    desk.leased("l-1")
    desk.enqueue("s-1")
    desk.reconcile("r-1")
    code, out, err = desk.run("purge", "l-1", "s-1", "r-1", "none-1", "d-1", "--to", str(tmp_path / "f"))
    assert (code, out.split()) == (1, ["d-1"])
    assert err.count("must be dead or quarantined") == 4
    assert [desk.state(key) for key in ("l-1", "s-1", "r-1")] == [State.LEASED, State.SCHEDULED, State.RECONCILE]
    assert len((tmp_path / "f").read_text().splitlines()) == 1


def test_purge_removes_nothing_that_it_cannot_write(desk: Desk, tmp_path: Path) -> None:
    desk.dead("d-1")
    assert desk.run("purge", "d-1", "--to", str(tmp_path / "no" / "folder"))[0] == 2
    assert desk.run("purge", "d-1")[0] == 2
    code, _, err = desk.run("purge", "d-1", "--to", "/dev/full")
    assert code == 3
    assert "is not removed" in err
    assert desk.state("d-1") is State.DEAD


def test_a_payment_that_moves_while_it_is_purged_is_kept(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.dead("d-1")
    real = os.fsync

    def fsync(number: int) -> None:
        real(number)
        if desk.state("d-1") is State.DEAD:
            desk.queue.requeue("d-1")

    monkeypatch.setattr(os, "fsync", fsync)
    code, out, err = desk.run("purge", "d-1", "--to", str(tmp_path / "f"))
    assert (code, out) == (1, "")
    assert "d-1" in err
    assert desk.state("d-1") is State.SCHEDULED


# --- drain and resume


def test_drain_waits_until_nothing_is_leased_and_resume_ends_it(desk: Desk) -> None:
    desk.leased("l-1")
    desk.enqueue("s-1")
    with started("--server", desk.url, "drain", "--timeout-s", "30") as process:
        wait_until(lambda: desk.queue.status().paused)
        assert process.poll() is None
        with desk.redis.client() as client:  # The worker gives it back.
            client.zadd("{payments:0}:leased", {"l-1": 1})
        desk.succeed()
        out, err = process.communicate(timeout=90)
    assert process.returncode == 0
    assert out.startswith("drained")
    assert "1 payment still leased" in err
    assert desk.queue.status().counts[State.SCHEDULED] == 2, "a paused queue gives nothing out"
    assert desk.run("resume")[:2] == (0, "resumed: what is due is given out\n")
    assert not desk.queue.status().paused
    assert desk.run("resume")[:2] == (0, "was not paused: what is due is given out\n")


def test_drain_is_unknown_when_the_time_is_over_and_the_queue_stays_paused(desk: Desk) -> None:
    desk.leased("l-1")
    code, out, err = desk.run("drain", "--timeout-s", "0.3")
    assert (code, out) == (3, "")
    assert re.search(r"1 payment still leased \(next lease end: in \d+\.\d s\); the queue stays paused", err)
    assert desk.queue.status().paused


def test_drain_says_when_no_worker_is_there_to_take_back_what_has_ended(desk: Desk) -> None:
    desk.leased("l-1")
    with desk.redis.client() as client:
        client.zadd("{payments:0}:leased", {"l-1": 1})
        client.zadd("{payments:0}:workers", {"worker-1": 1})
    assert "no worker has asked lately" in desk.run("drain", "--timeout-s", "0")[2]


def test_drain_ends_when_somebody_resumes(desk: Desk) -> None:
    desk.leased("l-1")

    def resume() -> None:
        wait_until(lambda: desk.queue.status().paused)
        desk.queue.resume()

    resuming = threading.Thread(target=resume)
    resuming.start()
    code, _, err = desk.run("drain", "--timeout-s", "20")
    resuming.join()
    assert code == 1
    assert "ended the pause" in err


def test_ctrl_c_ends_a_drain_with_130_and_says_that_the_pause_stays(desk: Desk) -> None:
    desk.leased("l-1")
    with started("--server", desk.url, "drain") as process:
        wait_until(lambda: desk.queue.status().paused)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=90)
    assert process.returncode == 130
    assert "stays paused" in err
    assert "Traceback" not in err


# --- live


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, process: subprocess.Popen[bytes], leader: int) -> None:
        self.process = process
        self._leader = leader
        self.seen = ""

    def read_until(self, text: str, patience_s: float = 90) -> None:
        """Reads until this was shown."""
        deadline = time.monotonic() + patience_s
        while text not in self.seen:
            assert time.monotonic() < deadline, f"never shown: {text}; but {self.seen[-500:]!r}"
            self._read()

    def end(self, number: signal.Signals) -> int:
        """Sends a signal, and gives the exit code."""
        self.process.send_signal(number)
        while self._read():
            pass
        return self.process.wait(20)

    def _read(self) -> bool:
        if not select.select([self._leader], [], [], 0.1)[0]:
            return self.process.poll() is None
        try:
            self.seen += os.read(self._leader, 65_536).decode()
        except OSError:  # The other side is closed.
            return False
        return True


@contextmanager
def terminal(*arguments: str, **environment: str) -> Iterator[Terminal]:
    leader, follower = pty.openpty()
    path = os.pathsep.join(sys.path)
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    env |= {"PYTHONPATH": path, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **environment}
    process = subprocess.Popen([*RUN, *arguments], stdout=follower, stderr=follower, env=env)
    os.close(follower)
    try:
        yield Terminal(process, leader)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(leader)


def test_live_redraws_in_place_and_gives_the_cursor_back_on_ctrl_c(desk: Desk) -> None:
    desk.enqueue("s-1", "s-2")
    with terminal("--server", desk.url, "live") as shown:
        shown.read_until("scheduled               2")
        desk.succeed()
        shown.read_until("succeeded               2")
        assert shown.end(signal.SIGINT) == 130
    assert shown.seen.index("\033[?25l") < shown.seen.index("scheduled")
    assert shown.seen.rindex("\033[?25h") > shown.seen.rindex("lag")
    assert "\033[13A" in shown.seen, "the second drawing begins where the first one did"
    assert "█" in shown.seen
    assert "\033[32m" in shown.seen
    assert "Traceback" not in shown.seen


def test_live_gives_the_cursor_back_when_it_is_ended_from_outside(desk: Desk) -> None:
    with terminal("--server", desk.url, "live") as shown:
        shown.read_until("workers")
        assert shown.end(signal.SIGTERM) == 128 + signal.SIGTERM
    assert shown.seen.endswith("\033[?25h")


def test_live_obeys_no_color(desk: Desk) -> None:
    desk.enqueue("s-1")
    with terminal("--server", desk.url, "live", NO_COLOR="1") as shown:
        shown.read_until("workers")
        shown.end(signal.SIGINT)
    assert not re.search(r"\033\[[0-9;]*m", shown.seen)


@contextmanager
def _live(own: RedisServer) -> Iterator[Terminal]:
    make(own.url)
    with terminal("--server", own.url, "--patience-s", "0.1", "live") as shown:
        yield shown


def test_live_shows_no_number_while_the_server_does_not_answer_and_goes_on_afterwards() -> None:
    with RedisServer() as own, _live(own) as shown:
        shown.read_until("workers")
        own.kill()
        shown.read_until("NO ANSWER")
        silent = shown.seen[shown.seen.index("NO ANSWER") :]
        own.start()
        shown.seen = ""
        shown.read_until("workers")
        shown.end(signal.SIGINT)
    assert "scheduled" not in silent


def test_live_without_a_terminal_prints_one_status_and_says_so(desk: Desk) -> None:
    desk.enqueue("s-1")
    code, out, err = desk.run("live")
    assert code == 0
    assert re.search(r"^scheduled +1$", out, re.MULTILINE)
    assert "no terminal" in err
    assert "\033" not in out


def test_rates_come_from_differences_and_are_unknown_where_a_number_falls() -> None:
    def status(now_ms: int, scheduled: int, succeeded: int) -> Status:
        counts = {**dict.fromkeys(State, 0), State.SCHEDULED: scheduled, State.SUCCEEDED: succeeded}
        return Status(now_ms, paused=False, counts=counts, next_due_ms=None, next_lease_end_ms=None, workers={})

    assert live.rates(status(1000, 10, 0), status(3000, 12, 4)) == live.Rates(enqueued=3.0, succeeded=2.0)
    assert live.rates(status(1000, 10, 5), status(2000, 11, 4)) == live.Rates(enqueued=0.0, succeeded=None)
    assert live.rates(status(1000, 10, 5), status(1000, 11, 5)) == live.Rates()


# --- worker


def test_worker_charges_with_the_function_that_is_named_and_ends_well_on_a_signal(desk: Desk, charges: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        key = f"order-{number.name}"
        desk.enqueue(key)
        with started("--server", desk.url, "worker", "charges:pay", "--concurrency", "2", folder=charges) as process:
            wait_until(partial(desk.is_in, State.SUCCEEDED, key))
            process.send_signal(number)
            out, err = process.communicate(timeout=90)
        assert (process.returncode, out) == (0, "")
        assert "begins: queue payments" in err
        assert "pm_secret" not in err
        assert f"ch_{key}" in desk.run("inspect", key)[1]


@pytest.mark.parametrize(("function", "state"), [("decline", State.DEAD), ("Provider.pay", State.SUCCEEDED)])
def test_worker_takes_coroutine_functions_and_functions_of_classes(
    desk: Desk, charges: Path, function: str, state: State
) -> None:
    desk.enqueue("order-1")
    with started("--server", desk.url, "-q", "worker", f"charges:{function}", folder=charges) as process:
        wait_until(lambda: desk.state("order-1") is state)
        process.terminate()
        assert process.wait(30) == 0


def test_worker_serves_the_metrics_of_its_work_and_of_the_queue(desk: Desk, charges: Path) -> None:
    pytest.importorskip("prometheus_client", reason="metrics are not tested: prometheus_client is not installed")
    desk.enqueue("order-1")
    port = free_port()
    with started("--server", desk.url, "worker", "charges:pay", "--metrics-port", str(port), folder=charges) as process:
        wait_until(lambda: desk.state("order-1") is State.SUCCEEDED)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as reply:
            told = reply.read().decode()
        process.terminate()
        assert process.wait(30) == 0
    assert 'retryqueue_attempts_total{outcome="succeeded",queue="payments"} 1.0' in told
    assert 'retryqueue_payments{queue="payments",state="succeeded"} 1.0' in told
    assert 'retryqueue_up{queue="payments"} 1.0' in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["charges"], "MODULE:FUNCTION"),
        (["charges:"], "MODULE:FUNCTION"),
        (["no_such_module:pay"], "cannot be imported"),
        (["broken:pay"], "no_such_package_anywhere"),
        (["charges:missing"], "no function missing"),
        (["charges:number"], "no function number"),
        (["charges:pay", "--concurrency", "0"], "--concurrency"),
        (["charges:pay", "--lease-ms", "1"], "lease_ms"),
        (["charges:pay", "--attempts", "many"], "--attempts"),
        (["charges:pay", "--metrics-port", "70000"], "--metrics-port"),
    ],
)
def test_worker_refuses_what_it_cannot_run(
    desk: Desk, charges: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.syspath_prepend(charges)
    code, _, err = desk.run("worker", *arguments)
    assert code == 2
    assert told in err


def test_worker_refuses_a_server_that_forgets_if_it_is_told_to(
    charges: Path,
) -> None:
    with (
        RedisServer(appendonly="no") as own,
        started("--server", own.url, "worker", "charges:pay", "--durability", "require", folder=charges) as process,
    ):
        _, err = process.communicate(timeout=90)
    assert process.returncode == 1
    assert len(err.splitlines()) == 1, err
    assert "appendonly no" in err


def test_worker_tells_where_a_module_fails_and_not_how_python_imports_it(
    desk: Desk, charges: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(charges)
    missing = desk.run("worker", "nope:pay")[2]
    assert missing == "retryqueue: nope cannot be imported: ModuleNotFoundError: No module named 'nope'\n"
    broken = desk.run("worker", "broken:pay")[2]
    assert 'broken.py", line 1' in broken
    assert "importlib" not in broken


def test_an_address_of_another_scheme_is_told_without_an_article() -> None:
    with pytest.raises(ValueError, match="scheme http; expected redis://"):
        RetryQueue("http://localhost")


def test_a_migration_counts_in_good_english() -> None:
    report = Report(source="old", queue="payments", dry_run=False, accepted_keys=1)
    report.waiting = {State.RECONCILE: 1, State.QUARANTINED: 2}
    told = "\n".join(report.lines())
    assert "1 idempotency key of the old queue counted" in told
    assert re.search(r"now in reconcile +1$", told, re.MULTILINE)
    assert re.search(r"now quarantined +2$", told, re.MULTILINE)


def test_worker_says_when_the_metrics_cannot_be_served(desk: Desk, charges: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("prometheus_client", reason="metrics are not tested: prometheus_client is not installed")
    monkeypatch.syspath_prepend(charges)
    code, _, err = desk.run("worker", "charges:pay", "--metrics-port", str(desk.redis.port))
    assert code == 2
    assert "cannot be served" in err
