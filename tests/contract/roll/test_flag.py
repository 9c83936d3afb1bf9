"""A flag as the router: the file that `interlock roll` writes, read by services and by real OpenFeature clients."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.track import TrackingEventDetails

from interlock.core.errors import WorldError
from interlock.roll.buckets import bucket_of, user_hash
from interlock.roll.openfeature import RolloutProvider
from interlock.roll.routers import FOREVER_S, Setting
from interlock.roll.routers.flag import Flag, FlagRouter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openfeature.client import OpenFeatureClient

USERS = [f"u{number}" for number in range(2_000)]
TENTH = Setting(limit=1_000, salt="pepper", until_s=FOREVER_S)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rollout.json"


@pytest.fixture
def client(path: Path) -> Iterator[OpenFeatureClient]:
    api.set_provider(RolloutProvider("new-queue", path, events=path.with_name("events.jsonl")))
    yield api.get_client()
    api.clear_providers()


def on(flag: Flag) -> set[str]:
    return {user for user in USERS if flag.is_on(user)}


def test_the_users_of_the_lowest_buckets_are_on_and_stay_on_as_the_share_grows(path: Path) -> None:
    router, flag = FlagRouter(path), Flag(path)
    assert on(flag) == set()

    router.write(TENTH)
    tenth = on(flag)
    assert tenth == {user for user in USERS if bucket_of(user_hash(user, "pepper")) < 1_000}
    assert 100 < len(tenth) < 300

    router.write(Setting(limit=5_000, salt="pepper", until_s=FOREVER_S))
    assert tenth < on(flag)
    assert router.read().limit == 5_000


def test_a_setting_ends_by_itself(path: Path) -> None:
    FlagRouter(path).write(Setting(limit=10_000, salt="pepper", until_s=int(time.time()) - 1))

    assert on(Flag(path)) == set()


@pytest.mark.parametrize("content", ["", "{", '{"limit": 20000, "salt": "s", "until_s": 4102444800}', '{"limit": "all"}', "[]"])
def test_a_flag_that_cannot_be_read_puts_nobody_on_the_canary(path: Path, content: str) -> None:
    path.write_text(content)

    assert on(Flag(path)) == set()
    with pytest.raises(WorldError, match="is no flag file"):
        FlagRouter(path).read()


def test_without_a_file_nobody_is_on_it_and_the_router_says_so(path: Path) -> None:
    assert FlagRouter(path).read().limit == 0


def test_an_openfeature_client_is_told_the_same_side(path: Path, client: OpenFeatureClient) -> None:
    FlagRouter(path).write(TENTH)
    flag = Flag(path)

    assert {
        user
        for user in USERS
        if client.get_boolean_value("new-queue", default_value=False, evaluation_context=EvaluationContext(user))
    } == on(flag)
    details = client.get_boolean_details("new-queue", default_value=False, evaluation_context=EvaluationContext(min(on(flag))))
    assert (details.variant, str(details.reason)) == ("canary", "SPLIT")


def test_without_a_user_or_for_another_flag_the_default_holds(path: Path, client: OpenFeatureClient) -> None:
    FlagRouter(path).write(Setting(limit=10_000, salt="pepper", until_s=FOREVER_S))

    assert client.get_boolean_value("new-queue", default_value=False) is False
    assert client.get_boolean_value("other", default_value=False, evaluation_context=EvaluationContext("u1")) is False
    assert client.get_string_value("new-queue", "plain", EvaluationContext("u1")) == "plain"


def test_what_is_tracked_is_a_business_event(path: Path, client: OpenFeatureClient) -> None:
    client.track("orders", EvaluationContext("u1"))
    client.track("payments", EvaluationContext("u1"), TrackingEventDetails(attributes={"failed": True}))
    first, second = map(json.loads, path.with_name("events.jsonl").read_text().splitlines())

    assert (first["name"], first["user"], "failed" in first) == ("orders", "u1", False)
    assert second["failed"] is True
    assert abs(first["exposed_at"] - time.time()) < 60
