"""A load on a real server over HTTP, made by Locust in a process of its own.

Locust is a generator that is kept by others, and teams have files for it already. It is never imported here: on import it
puts gevent in the place of sockets and threads.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from interlock.core.counting import counted
from interlock.core.errors import UsageError
from interlock.prove.load.judge import moments
from interlock.prove.load.result import LoadResult, Spread
from interlock.prove.load.shapes import LATE, SUCCESS_MIN

if TYPE_CHECKING:
    from collections.abc import Callable

_USERS_MAX = 1000
_ANSWERED_WITHIN_S = 10.0  # So many users are there that the rate is kept by a server that takes this long.
_SLACK_S = 0.2
_ALL = 0.9  # Of the users: if so many wait for an answer, it is the server that is slow.
_STARTS_WITHIN_S = 20.0
_GRACE_S = 10.0  # For the last answers. A request that has none by then has failed.
_LOOKS_EVERY_S = 0.2
_EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class OverHttp:
    """A load on an address.

    Attributes:
        url: The address.
        per_s: How many requests a second; with a locustfile, how many users.
        for_s: For how long, in real time.
        data: The body of a POST, in which `{n}` is the number of the request; a GET without one.
        locustfile: Users of the team's own; they decide what is asked, and how often.
        success_min: Which share must succeed: come back with a status below 400.
    """

    url: str
    per_s: float
    for_s: float
    data: str | None = None
    locustfile: Path | None = None
    success_min: float = SUCCESS_MIN

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"--url: found {self.url!r}, expected http://HOST/PATH")
        if self.per_s <= 0:
            raise UsageError(f"--rate: found {self.per_s:g}, expected more than 0 requests a second")
        if not 0 <= self.success_min <= 1:
            raise UsageError(f"--success-min: found {self.success_min:g}, expected a share between 0 and 1")
        if self.locustfile is not None and not self.locustfile.is_file():
            raise UsageError(f"--locustfile: {self.locustfile} is no file")

    @property
    def name(self) -> str:
        """What it is, for people."""
        rate = f"{self.per_s:g} users of {self.locustfile}" if self.locustfile else f"{self.per_s:g} requests a second"
        return f"{rate} for {self.for_s:g} s"

    @property
    def users(self) -> int:
        """How many users ask: enough for the rate, though answers take long; but no more than there are requests."""
        if self.locustfile:
            return math.ceil(self.per_s)
        return min(_USERS_MAX, math.ceil(self.per_s * min(_ANSWERED_WITHIN_S, self.for_s)))


@dataclass(frozen=True, slots=True)
class Asked:
    """A request.

    Attributes:
        due_s: When it was to be made, in seconds since 1970.
        begun_s: When it was.
        took_ms: How long it took from then on; at least, if there is no answer.
        error: What went wrong, if anything did.
        on_their_way: How many others had no answer yet when it was made.
    """

    due_s: float
    begun_s: float
    took_ms: float
    error: str
    on_their_way: int = 0

    @property
    def latency_ms(self) -> float:
        """How long it took since it was due."""
        return max(0.0, self.begun_s - self.due_s) * 1000 + self.took_ms


@dataclass(frozen=True, slots=True)
class _Made:
    """What Locust has made."""

    requests: list[Asked]
    said: str  # What it complained of, if it ended badly.


def over_http(load: OverHttp, budget_s: float, told: Callable[[int, float], None] = lambda _, __: None) -> LoadResult:
    """What a load on an address shows.

    Args:
        load: Which.
        budget_s: How long it may take; what was not covered by then leaves the answer unknown.
        told: Is called now and then with how many seconds have passed, and how many are left.

    Raises:
        UsageError: If there is no Locust.
    """
    began_s, run_s = time.monotonic(), min(load.for_s, budget_s)
    made = _made(load, run_s, told)
    result = _judged(load, made, run_s)
    result.seconds = time.monotonic() - began_s
    return result


def _made(load: OverHttp, run_s: float, told: Callable[[int, float], None]) -> _Made:
    with tempfile.TemporaryDirectory(prefix="interlock-") as folder:
        records, complaints = Path(folder, "records"), Path(folder, "complaints")
        records.touch()
        parts = urlsplit(load.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        order = {"path": path, "per_s": load.per_s, "data": load.data, "records": str(records)}
        order |= {"requests": max(1, round(load.per_s * run_s)), "is_own": load.locustfile is not None}
        files = [
            str(Path(__file__).with_name("locust_user.py")),
            *([str(load.locustfile.resolve())] if load.locustfile else []),
        ]
        command = [*_locust(), "--headless", "-f", ",".join(files), "--host", f"{parts.scheme}://{parts.netloc}"]
        command += [
            "-u",
            str(load.users),
            "-r",
            str(load.users),
            "-t",
            f"{math.ceil(run_s + (0 if load.locustfile else _GRACE_S))}s",
            "--stop-timeout",
            f"{_GRACE_S:g}" if load.locustfile else "0",
        ]
        command += ["--exit-code-on-error", "0", "--loglevel", "ERROR", "--only-summary"]
        environment = {**os.environ, "INTERLOCK_LOAD": json.dumps(order)}
        with complaints.open("wb") as file:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file, env=environment, cwd=folder)
            code = _waited(process, run_s, told)
        requests = _requests(records.read_text())
        complaint = complaints.read_text(errors="replace").strip().rpartition("\n")[2]
        return _Made(requests, (complaint or f"exit code {code}") if code or not requests else "")


def _requests(records: str) -> list[Asked]:
    """What was taken down, line by line. Whoever was ended in the middle of a line has not told it."""
    whole = [json.loads(line) for line in records.splitlines(keepends=True) if line.endswith("\n")]
    begun = {number: rest for kind, number, *rest in whole if kind == "begun"}
    found = [Asked(at_s, at_s, 0.0, error) for kind, at_s, error, *_ in whole if kind == "raised"]
    ended_s = 0.0
    for number, at_s, took_ms, error in (rest for kind, *rest in whole if kind == "done"):
        due_s, _, on_their_way = begun.pop(number, (at_s, at_s, 0))
        ended_s = max(ended_s, at_s + took_ms / 1000)
        found.append(Asked(due_s, max(due_s, at_s), took_ms, error, on_their_way))
    ended_s = max([ended_s, *(begun_s for _, begun_s, _ in begun.values())])
    none = "no answer until the end"
    found += [Asked(due_s, at_s, (ended_s - at_s) * 1000, none, others) for due_s, at_s, others in begun.values()]
    return sorted(found, key=lambda one: one.begun_s)


def _locust() -> list[str]:
    """How Locust is started: from this Python, or as whatever is on the path."""
    if find_spec("locust") is not None:
        return [sys.executable, "-m", "locust"]
    if (found := shutil.which("locust")) is not None:
        return [found]
    raise UsageError("locust is not installed; --url needs it: pip install 'interlock[load]', or pipx install locust")


def _waited(process: subprocess.Popen[bytes], run_s: float, told: Callable[[int, float], None]) -> int:
    """Its exit code; it is ended if it does not end."""
    began_s = time.monotonic()
    try:
        while (code := process.poll()) is None:
            passed_s = time.monotonic() - began_s
            if passed_s > run_s + _GRACE_S + _STARTS_WITHIN_S:
                return -1
            told(int(passed_s), max(0.0, run_s - passed_s))
            time.sleep(_LOOKS_EVERY_S)
        return code
    finally:
        process.kill()
        process.wait()


def _judged(load: OverHttp, made: _Made, run_s: float) -> LoadResult:
    planned = len(made.requests) if load.locustfile else round(load.per_s * load.for_s)
    result = LoadResult(load.url, load.name, planned=planned, calls=len(made.requests), success_min=load.success_min)
    result.over_s, result.covered_s, result.made_in_s = load.for_s, run_s, run_s
    result.at_once = max((one.on_their_way + 1 for one in made.requests), default=0)
    errors = Counter(one.error for one in made.requests if one.error)
    result.failures = errors.most_common(_EXAMPLES)
    began_s = min((one.due_s for one in made.requests), default=0.0)
    latency_ms = [one.latency_ms for one in made.requests]
    result.latency_ms, result.service_ms = Spread.of(latency_ms), Spread.of([one.took_ms for one in made.requests])
    result.moments = moments([one.due_s - began_s for one in made.requests], latency_ms)
    if made.requests:
        result.success = 1 - errors.total() / len(made.requests)
        if result.success < load.success_min:
            examples = "; ".join(f"{error} ({counted(count, 'time')})" for error, count in result.failures)
            said = f"success {result.success:.2%} of {counted(len(made.requests), 'request')}"
            result.violations.append(f"{said}, where {load.success_min:.0%} are demanded: {examples}")
    result.reasons += _unknown(load, made, run_s)
    result.decide()
    return result


def _unknown(load: OverHttp, made: _Made, run_s: float) -> list[str]:
    """Why nobody knows, whatever the requests came to."""
    reasons = [f"Locust ended badly: {made.said}"] if made.said else []
    if not made.requests:
        return [*reasons, "no request was made"]
    if run_s < load.for_s:
        reasons.append(f"the budget is used up: {run_s:,.0f} s of {load.for_s:,.0f} s were covered")
    return reasons + ([] if load.locustfile else late(load, made.requests, run_s))


def late(load: OverHttp, requests: list[Asked], run_s: float) -> list[str]:
    """That the rate was not kept, and whether that is for the server or for this machine; nothing, if it was.

    Args:
        load: What was asked for.
        requests: What was made, at least one.
        run_s: For how long.
    """
    wanted = max(1, round(load.per_s * run_s))
    begun_s = max(one.begun_s for one in requests) - min(one.due_s for one in requests)
    if len(requests) >= wanted and begun_s <= LATE * run_s + _SLACK_S:
        return []
    said = f"{len(requests):,} of {counted(wanted, 'request')} were made, within {begun_s:.1f} s, not {run_s:g}"
    if max(one.on_their_way for one in requests) >= _ALL * load.users:
        return [f"{said}: the server is too slow, all {counted(load.users, 'user')} waited for it"]
    return [f"{said}: this machine is too slow for the rate"]
