"""What Locust is given: users who ask for one address at a rate, and listeners that take down what is asked and answered.

Run by Locust in a process of its own, because importing it changes the sockets and threads of whoever does (gevent). What is
to be done stands in the environment; a locustfile of the team's own brings users, and then only the listeners are used.

A request is taken down when it is begun: Locust tells only of those that come back. Each greenlet has one at a time.
"""

from __future__ import annotations

import json
import os
import threading
import time
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

locust: Any = import_module("locust")
order: dict[str, Any] = json.loads(os.environ["INTERLOCK_LOAD"])
records = Path(order["records"]).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 - until the process ends.
numbers, finished, requests = count(), count(), count()
current = threading.local()  # Of each greenlet.
on_their_way: set[int] = set()
all_there: Any = import_module("gevent.event").Event()
began_at_s = 0.0  # When the first request is due, in seconds since 1970.


def told(*record: object) -> None:
    """Takes something down."""
    records.write(f"{json.dumps(record)}\n")


def begun(real: Any) -> Any:
    """A client's way to ask, which is taken down before it is gone."""

    def request(client: Any, *args: Any, **options: Any) -> Any:
        now_s = time.time()
        current.request = next(requests)
        told("begun", current.request, getattr(current, "due_s", now_s), now_s, len(on_their_way))
        on_their_way.add(current.request)
        return real(client, *args, **options)

    return request


def came_back(request_type: str, response_time: float, start_time: float, exception: object = None, **_: object) -> None:
    """Takes down what came of a request."""
    error = f"{request_type} {type(exception).__name__}: {exception}"[:200] if exception is not None else ""
    number, current.request = getattr(current, "request", None), None
    on_their_way.discard(number) if number is not None else None
    current.has_failed = bool(error)
    told("done", number, start_time, response_time, error)


def raised(exception: BaseException, **_: object) -> None:
    """Takes down that a user's task has raised, unless it says no more than its request did."""
    if not getattr(current, "has_failed", False):
        told("raised", time.time(), f"a user's task raised {type(exception).__name__}: {exception}"[:200])
    current.has_failed = False


def begin(**_: object) -> None:
    """All users are there."""
    global began_at_s  # noqa: PLW0603 - Locust calls functions, and knows no object of ours.
    began_at_s = time.time() + 0.1
    all_there.set()


def ask(user: Any) -> None:
    """The next request, when it is due: all users together keep the rate, and none asks in step with another."""
    all_there.wait()
    number = next(numbers)
    if number >= order["requests"]:
        raise locust.exception.StopUser
    current.due_s = began_at_s + number / order["per_s"]
    time.sleep(max(0.0, current.due_s - time.time()))
    path = order["path"].replace("{n}", str(number))
    try:
        if order["data"] is None:
            user.client.get(path, name=order["path"])
        else:
            headers = {"Content-Type": "application/json"}
            user.client.post(path, data=order["data"].replace("{n}", str(number)), headers=headers, name=order["path"])
    finally:
        if next(finished) == order["requests"] - 1:
            user.environment.runner.quit()


for client in (locust.clients.HttpSession, locust.contrib.fasthttp.FastHttpSession):
    client.request = begun(client.request)
locust.events.request.add_listener(came_back)
locust.events.user_error.add_listener(raised)
locust.events.spawning_complete.add_listener(begin)
if not order["is_own"]:
    Visitor = type("Visitor", (locust.FastHttpUser,), {"wait_time": locust.constant(0), "tasks": [ask]})
