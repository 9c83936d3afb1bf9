"""What Locust is given: users who ask for one address at a rate, and a listener that takes every request down.

Run by Locust in a process of its own, because importing it changes the sockets and threads of whoever does (gevent). What is
to be done stands in the environment; a locustfile of the team's own brings users, and then only the listener is used.
"""

from __future__ import annotations

import json
import os
import time
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

locust: Any = import_module("locust")
order: dict[str, Any] = json.loads(os.environ["INTERLOCK_LOAD"])
records = Path(order["records"]).open("a", encoding="utf-8")  # noqa: SIM115 - until the process ends.
numbers, finished = count(), count()
began_s = time.monotonic() + 0.2  # Until all users are there.


def note(request_type: str, response_time: float, start_time: float, exception: object = None, **_: object) -> None:
    """Takes one request down."""
    error = f"{request_type} {type(exception).__name__}: {exception}" if exception is not None else ""
    records.write(f"{json.dumps([start_time, response_time, error[:200]])}\n")


def close(**_: object) -> None:
    """Nothing more is to be taken down."""
    records.close()


def ask(user: Any) -> None:
    """The next request, when it is due: all users together keep the rate, and none asks in step with another."""
    number = next(numbers)
    if number >= order["requests"]:
        raise locust.exception.StopUser
    time.sleep(max(0.0, began_s + number / order["per_s"] - time.monotonic()))
    path = order["path"].replace("{n}", str(number))
    if order["data"] is None:
        user.client.get(path, name=order["path"])
    else:
        headers = {"Content-Type": "application/json"}
        user.client.post(path, data=order["data"].replace("{n}", str(number)), headers=headers, name=order["path"])
    if next(finished) == order["requests"] - 1:
        user.environment.runner.quit()


locust.events.request.add_listener(note)
locust.events.quitting.add_listener(close)
if not order["is_own"]:
    Visitor = type("Visitor", (locust.FastHttpUser,), {"wait_time": locust.constant(0), "tasks": [ask]})
