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
from interlock.prove.load.shapes import SUCCESS_MIN

if TYPE_CHECKING:
    from collections.abc import Callable

_USERS_MAX = 500
_KEPT = 0.9  # Of the rate: less is another load than was asked for.
_STARTS_WITHIN_S = 30.0
_GRACE_S = 2.0  # For the last answers. A request that was not made by then is told.
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
        """How many users ask: enough for the rate, though an answer takes a second."""
        return math.ceil(self.per_s) if self.locustfile else min(_USERS_MAX, math.ceil(self.per_s))


@dataclass(frozen=True, slots=True)
class _Made:
    """What Locust has made: (when, in seconds since 1970; how long, in ms; the error, if any) of each request."""

    requests: list[tuple[float, float, str]]
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
            "2",
        ]
        command += ["--exit-code-on-error", "0", "--loglevel", "ERROR", "--only-summary"]
        environment = {**os.environ, "INTERLOCK_LOAD": json.dumps(order)}
        with complaints.open("wb") as file:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file, env=environment, cwd=folder)
            code = _waited(process, run_s, told)
        requests = [tuple(json.loads(line)) for line in records.read_text().splitlines()]
        complaint = complaints.read_text(errors="replace").strip().rpartition("\n")[2]
        return _Made(requests, (complaint or f"exit code {code}") if code or not requests else "")


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
            if passed_s > run_s + _STARTS_WITHIN_S:
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
    result.over_s, result.covered_s = load.for_s, run_s
    errors = Counter(error for _, _, error in made.requests if error)
    result.failures = errors.most_common(_EXAMPLES)
    began_s = min((at_s for at_s, _, _ in made.requests), default=0.0)
    took_ms = [ms for _, ms, _ in made.requests]
    result.latency_ms = Spread.of(took_ms)
    result.moments = moments([at_s - began_s for at_s, _, _ in made.requests], took_ms)
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
    wanted = round(load.per_s * run_s)
    if load.locustfile is None and len(made.requests) < _KEPT * wanted:
        reasons.append(
            f"{len(made.requests):,} requests were made in time, not {wanted:,}: the server or this machine is too slow"
        )
    return reasons
