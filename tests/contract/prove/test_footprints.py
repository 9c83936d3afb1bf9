from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from interlock.core.verdict import Verdict
from interlock.prove.contract import contract
from interlock.prove.explore import prove
from interlock.prove.invariant import Invariant
from interlock.prove.wire.listener import command
from interlock.prove.wire.redis_server import running_redis

if TYPE_CHECKING:
    from interlock.prove.explore import Proof
    from interlock.prove.world import World

UNDECLARED = "a script touches stock, which it does not declare: no Redis Cluster runs it"


@pytest.fixture
def scripted(redis_server: None, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ARG001 - it must be there.
    from pathlib import Path  # noqa: PLC0415

    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "prove_subjects")
    import scripted  # type: ignore[import-not-found]  # noqa: PLC0415 - a subject is imported as its users would.

    return scripted


def proof_of(kind: Any) -> Proof:
    def nothing_is_lost(world: World) -> None:
        stock = world.subject(kind, world.redis_url)

        def lost() -> str | None:
            value = (world.redis("GET", "stock") or b"").decode()
            return None if sorted(value) == ["a", "b"] else f"the stock is {value!r}"

        world.run(lambda: stock().add("a"), lambda: stock().add("b"))
        world.recover(lambda: None, times=1)
        world.check(Invariant("both are in stock", lost))

    return prove(contract(faults=0)(nothing_is_lost), budget_s=60)


@pytest.mark.parametrize(
    ("name", "verdict", "notes"),
    [
        ("Declares", Verdict.PASS, []),
        ("Hides", Verdict.PASS, [UNDECLARED]),
        ("NamesNone", Verdict.PASS, [UNDECLARED]),
        ("Reads", Verdict.FAIL, [UNDECLARED]),
        ("Watches", Verdict.PASS, []),
        ("WatchesTooLate", Verdict.FAIL, []),
    ],
)
def test_what_an_effect_really_touches_decides_which_orders_are_run(
    scripted: Any, name: str, verdict: Verdict, notes: list[str]
) -> None:
    proof = proof_of(getattr(scripted, name))

    assert (proof.verdict, proof.notes, proof.reason) == (verdict, notes, "")


@pytest.mark.usefixtures("redis_server")
def test_the_server_tells_what_scripts_and_functions_call() -> None:
    library = "#!lua name=lib\nredis.register_function('put', function(keys) return redis.call('SET', 'a b', '\\1\\n\"') end)"
    with running_redis() as server:
        if server.value("COMMAND", "INFO", "FUNCTION") == [None]:
            pytest.skip("functions are younger than this server")
        server.value("FUNCTION", "LOAD", library)
        answer, called = server.heard(lambda: server.value("FCALL", "put", 0))
        assert (answer, called) == (b"OK", [[b"SET", b"a b", b'\1\n"']])
        assert server.heard(lambda: server.value("GET", "a b")) == (b'\1\n"', [])


def test_a_line_of_monitor_is_read_as_it_was_meant() -> None:
    assert command(rb'+1729175837.250000 [0 lua] "SET" "a\\b \"c\"" "\x00\n"') == [b"SET", rb'a\b "c"', b"\x00\n"]
