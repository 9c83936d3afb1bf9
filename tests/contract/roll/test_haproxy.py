"""The router and its sources, against a real HAProxy."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interlock.core.errors import UsageError, WorldError
from interlock.roll.buckets import bucket_of, limit_for, new_salt, user_hash, xxh32
from interlock.roll.judge import Arm
from interlock.roll.routers import FOREVER_S, Setting
from interlock.roll.routers.haproxy import Haproxy
from interlock.roll.routers.haproxy_config import Section
from interlock.roll.sources.haproxy_counters import HaproxyCounters, totals_of
from interlock.roll.sources.haproxy_log import HaproxyLog, listening
from tests.contract.roll.conftest import wait_until

if TYPE_CHECKING:
    from interlock.roll.sources import Event
    from tests.contract.roll.conftest import Running

USERS = [f"user-{number}" for number in range(800)]


def setting(share: float, *, salt: str = "a1b2", until_s: int = FOREVER_S) -> Setting:
    return Setting(limit=limit_for(share), salt=salt, until_s=until_s)


def on_canary(haproxy: Running) -> set[str]:
    return {user for user, side in haproxy.sides(USERS).items() if side == "canary"}


def test_it_starts_with_nobody_on_the_canary(haproxy: Running) -> None:
    assert haproxy.router.read().limit == 0
    assert on_canary(haproxy) == set()


def test_a_side_can_be_told_from_the_users_id_alone(haproxy: Running) -> None:
    for share, salt in ((0.1, "a1b2"), (0.5, "ffff")):
        haproxy.router.write(setting(share, salt=salt))
        expected = {user for user in USERS if bucket_of(user_hash(user, salt)) < limit_for(share)}
        assert on_canary(haproxy) == expected
        assert 0.7 * share < len(expected) / len(USERS) < 1.3 * share


def test_whoever_is_on_the_canary_stays_there_while_it_grows(haproxy: Running) -> None:
    before: set[str] = set()
    for share in (0.0001, 0.01, 0.1, 0.5, 1.0):
        haproxy.router.write(setting(share))
        now = on_canary(haproxy)
        assert before <= now
        before = now
    assert before == set(USERS)


def test_a_share_of_one_in_ten_thousand_reaches_somebody(haproxy: Running) -> None:
    haproxy.router.write(setting(0.0001))
    first = next(user for user in map(str, range(1_000_000)) if bucket_of(user_hash(user, "a1b2")) == 0)
    second = next(user for user in map(str, range(1_000_000)) if bucket_of(user_hash(user, "a1b2")) == 1)
    assert haproxy.sides([first, second]) == {first: "canary", second: "baseline"}


def test_another_salt_chooses_other_users(haproxy: Running) -> None:
    haproxy.router.write(setting(0.1, salt="a1b2"))
    first = on_canary(haproxy)
    haproxy.router.write(setting(0.1, salt="c3d4"))
    assert len(first & on_canary(haproxy)) < len(first) / 3


def test_without_an_id_each_request_is_drawn(haproxy: Running) -> None:
    haproxy.router.write(setting(0.5))
    sides = [haproxy.get().split()[0] for _ in range(200)]
    assert 60 < sides.count("canary") < 140


def test_a_header_can_tell_users_apart(haproxy_by_header: Running) -> None:
    haproxy_by_header.router.write(setting(0.5))
    assert haproxy_by_header.get(headers={"X-User": "u1"}).split()[1] == str(user_hash("u1", "a1b2"))
    assert haproxy_by_header.get(user="u1").split()[1] == "5000"  # No hash: the share is the second word.


def test_a_share_that_nobody_renews_ends_by_itself(haproxy: Running) -> None:
    def is_on_canary_while_it_is_renewed() -> bool:
        haproxy.router.write(setting(1.0, until_s=int(time.time()) + 3))
        return haproxy.get(user="u1").startswith("canary")

    wait_until(is_on_canary_while_it_is_renewed)
    wait_until(lambda: haproxy.get(user="u1").startswith("baseline"))
    assert haproxy.get(user="u1").split()[2] == "0"  # And the log says so.


def test_a_restart_in_mid_rollout_sends_nobody_to_the_canary(haproxy: Running) -> None:
    haproxy.router.write(setting(1.0))
    assert haproxy.get(user="u1").startswith("canary")
    haproxy.restart()
    assert haproxy.router.read().limit == 0
    assert haproxy.get(user="u1").startswith("baseline")


def test_what_the_router_refuses_is_an_error(haproxy: Running) -> None:
    with pytest.raises(WorldError, match="Unknown map identifier"):
        replace(haproxy.router, map=Path("/nowhere/roll.map")).read()
    with pytest.raises(ValueError, match="salt"):
        haproxy.router.write(setting(0.5, salt="a; set map"))
    assert haproxy.router.read().limit == 0


def test_a_router_that_is_away_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="did not answer"):
        Haproxy(socket=tmp_path / "s", map=tmp_path / "m").read()


def test_a_setting_that_is_not_taken_is_an_error(haproxy: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Haproxy.ask
    monkeypatch.setattr(Haproxy, "ask", lambda self, command: "" if command.startswith("set") else ask(self, command))
    with pytest.raises(WorldError, match="was told"):
        haproxy.router.write(setting(0.5))


def test_the_log_tells_user_side_share_and_failure(haproxy: Running) -> None:
    log = listening(haproxy.section.log)
    haproxy.router.write(setting(0.5))
    canary = next(user for user in USERS if bucket_of(user_hash(user, "a1b2")) < 5000)
    haproxy.get(user=canary)
    haproxy.get("/fails", user=canary)
    haproxy.get()
    heard: list[Event] = []
    wait_until(lambda: _heard(heard, log) == 3)
    log.close()
    # Each of the router's threads writes its own lines, so those of different connections come in any order.
    known = [(event.arm, event.limit, event.failed) for event in heard if event.user == user_hash(canary, "a1b2")]
    assert sorted(known) == [("canary", 5000, False), ("canary", 5000, True)]
    assert [event.failed for event in heard if event.user is None] == [False]


def _heard(heard: list[Event], log: HaproxyLog) -> int:
    heard += log.poll()
    return len(heard)


def test_the_log_comes_to_a_socket_of_the_file_system_as_well(haproxy_with_socket: Running) -> None:
    log = listening(haproxy_with_socket.section.log)
    haproxy_with_socket.get()
    heard: list[Event] = []
    wait_until(lambda: _heard(heard, log) == 1)
    log.close()
    assert not Path(haproxy_with_socket.section.log).exists()


def test_the_counters_tell_what_came_since_the_last_look(haproxy: Running) -> None:
    haproxy.router.write(setting(1.0))
    counters = HaproxyCounters(haproxy.router)

    def counted(requests: int, failed: int) -> bool:  # A request is counted a moment after it is answered.
        return totals_of(haproxy.router, {"baseline": Arm.BASELINE, "canary": Arm.CANARY})[Arm.CANARY] == (requests, failed)

    haproxy.get("/fails")
    wait_until(lambda: counted(1, 1))
    assert counters.poll() == []
    for path in ("/", "/fails", "/"):
        haproxy.get(path)
    wait_until(lambda: counted(4, 2))
    assert [(count.arm, count.total, count.failed) for count in counters.poll()] == [("baseline", 0, 0), ("canary", 3, 1)]
    with pytest.raises(WorldError, match="no backend 'blue'"):
        HaproxyCounters(haproxy.router, baseline="blue").poll()


def test_the_section_passes_its_own_lint_and_each_fault_is_named(haproxy: Running) -> None:
    good = haproxy.config.read_text(encoding="utf-8")
    assert haproxy.section.lint(haproxy.config) == []
    faults = {
        good.replace("level admin", "level user"): "stats socket",
        good.replace("mod(10000)", "mod(1000)"): "differ",
        good.replace(
            "    # interlock roll: begin", "    use_backend canary if TRUE\n    # interlock roll: begin"
        ): "takes users away",
        good.replace("backend canary\n", "backend kanary\n"): "no `backend canary`",
        good.replace("# interlock roll: end", ""): "are not there",
        good.replace("global\n", "global\n    nbproc 2\n"): "nbproc",
        good.replace("mode http", "mode smtp"): "haproxy -c",
    }
    for text, expected in faults.items():
        haproxy.config.write_text(text, encoding="utf-8")
        assert any(expected in fault for fault in haproxy.section.lint(haproxy.config)), expected
    haproxy.config.write_text(good, encoding="utf-8")
    haproxy.section.map.write_text("limit 100\nsalt none\nuntil 0\n", encoding="utf-8")
    assert "a restart sends nobody" in haproxy.section.lint(haproxy.config)[0]


def test_a_name_that_cannot_stand_in_a_configuration_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot stand"):
        Section(map=Path("/run/a b"), log="/run/log").text()
    with pytest.raises(UsageError, match="expected 'cookie NAME'"):
        Section(map=Path("/run/a"), log="/run/log", user="ip").text()


def test_the_hash_is_the_published_one() -> None:
    assert xxh32(b"") == 0x02CC5D05
    assert xxh32(b"Nobody inspects the spammish repetition") == 0xE2293B2F


def test_a_share_is_never_rounded_to_nobody() -> None:
    assert [limit_for(share) for share in (0, 0.00001, 0.01, 1)] == [0, 1, 100, 10_000]
    with pytest.raises(ValueError, match="expected 0 to 1"):
        limit_for(1.5)
    assert new_salt() != new_salt()
