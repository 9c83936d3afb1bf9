"""A call that fails is tried again for ever, and whoever waits for its answer waits with it.

## What happens
`@retry` of tenacity without `stop=` never gives up, and without `wait=` does not even pause; so do `backoff` without `max_tries`
and `max_time`, and `while True:` around a `try` whose handler only goes on. One dead dependency then holds every thread that
needs it: the pool is used up, requests queue, and the service that was one dependency short is down. When the dependency comes
back it is met by all of them at once. A function that calls itself again instead ends in a RecursionError after some 1,000 failures.

## Why tests miss it
In a test the call succeeds, or fails once and then succeeds. A test in which it never succeeds would not end, so nobody writes it.

## What to write instead
Give every retry an end that fits whoever waits: `stop=stop_after_attempt(5) | stop_after_delay(30)`, `max_time=30`,
`for attempt in range(1, 6)`; let the last error out, and put what must not be lost where a worker finds it later. A daemon that
connects again for ever with a pause in between is right as it is: nobody waits for its answer.

## Where it comes from
tenacity's and backoff's documentation: the default is to retry for ever. Google's SRE book, "Addressing Cascading Failures": retries
without a budget keep an overloaded service down.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from interlock.core.finding import Confidence, Severity
from interlock.hazards.hazard import Hazard, Mutant
from interlock.hazards.retry._attempts import asks_a_person, called, endless_attempts, endless_recursion, waits_for_lock
from interlock.hazards.retry._conditions import ends_elsewhere, leaves_trace
from interlock.hazards.retry._errors import caught, means_failure
from interlock.hazards.retry._patience import has_deadline, is_patience, outside_calls
from interlock.hazards.retry._policies import policies
from interlock.hazards.retry._users import is_daemon, users_of
from interlock.source.edit import edited, importing, replacing
from interlock.source.module import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.core.finding import Finding
    from interlock.source.module import Function, Module

HAZARD = Hazard(
    __name__,
    severity=Severity.HIGH,
    advice="give the retry an end: stop=stop_after_attempt(n) | stop_after_delay(s), max_tries=n, max_time=s, for attempt in range(n)",
    needles=((b"tenacity", b"backoff", b"retry", b"while True", b"while 1", b"while not", b"except", b"status"),),
    signal="requests in flight and busy workers rise to their limit while one dependency is down; latency p99 meets the client's timeout",
    scenario="poison item",
    sources=(
        "https://tenacity.readthedocs.io/en/latest/#stopping",
        "https://github.com/litl/backoff#backoffon_exception",
        "https://docs.celeryq.dev/en/stable/reference/celery.app.task.html#celery.app.task.Task.max_retries",
        "https://sre.google/sre-book/addressing-cascading-failures/",
    ),
)

_BOUNDS_OF = {
    "tenacity": "no stop=",
    "backoff": "neither max_tries nor max_time",
    "retrying": "no stop_max_attempt_number or stop_max_delay",
    "retry": "no tries=",
}


@HAZARD.detects(ast.Module)
def detect_policy(tree: ast.Module, module: Module) -> Iterator[Finding]:
    """`@retry`, `@retry(wait=wait_fixed(1))`, `@backoff.on_exception(backoff.expo, Timeout)`, `AsyncRetrying(wait=...)`."""
    if tree is not module.tree:
        return
    for policy in policies(module):
        if not policy.endless(module) or ends_elsewhere(policy, module):
            continue
        users = users_of(policy, module)
        if policy.waits(module) and leaves_trace(policy) and users and all(is_daemon(user, module) for user in users):
            continue
        what = f"`{users[0].name}`" if users and isinstance(users[0], FUNCTIONS) else "what is retried here"
        pause = "" if policy.waits(module) else ", without a pause"
        yield HAZARD.finding(
            module,
            policy.site,
            f"{what} is tried for ever{pause} ({_BOUNDS_OF[policy.library]}): while it fails, no caller gets an answer or an error",
        )


@HAZARD.detects(ast.FunctionDef, ast.AsyncFunctionDef)
def detect_task(function: Function, module: Module) -> Iterator[Finding]:
    """`@app.task(autoretry_for=(Exception,), max_retries=None)`."""
    for decorator in function.decorator_list:
        if not isinstance(decorator, ast.Call) or called(decorator) not in {"task", "shared_task", "periodic_task"}:
            continue
        given = {keyword.arg: keyword.value for keyword in decorator.keywords if keyword.arg}
        match given.get("max_retries"):
            case ast.Constant(value=None) if "expires" not in given and ("autoretry_for" in given or _retries_itself(function)):
                yield HAZARD.finding(
                    module,
                    decorator,
                    f"the task `{function.name}` is retried without limit (max_retries=None): one that can never succeed comes back for ever",
                )
            case _:
                pass


def _retries_itself(function: Function) -> bool:
    """Whether a task asks to be retried, without an end of its own: `self.retry(max_retries=5)`, `if self.request.retries > 5`."""
    nodes = list(ast.walk(function))
    asked = [
        node
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "retry"
    ]
    counts = any(isinstance(node, ast.Attribute) and node.attr == "retries" for node in nodes)
    return bool(asked) and not counts and not any(keyword.arg == "max_retries" for call in asked for keyword in call.keywords)


@HAZARD.detects(ast.While)
def detect_loop(loop: ast.While, module: Module) -> Iterator[Finding]:
    """`while True: try: return post() except RequestException: continue`."""
    for attempt in () if has_deadline(loop, module) else endless_attempts(loop, module):
        if not means_failure(attempt.handler, module) or asks_a_person(attempt.block.body):
            continue
        calls = outside_calls(attempt, module)
        if not calls or (attempt.waits and is_patience(attempt, calls, module)):
            continue
        pause = "" if attempt.waits else ", without a pause"
        yield HAZARD.finding(
            module,
            loop,
            f"`{_short(calls[-1])}` is tried for ever{pause}: after {_errors(attempt.handler)} (line {attempt.handler.lineno}) the loop begins again",
            Confidence.MEDIUM if attempt.waits else Confidence.HIGH,
        )
        return


@HAZARD.detects(ast.While)
def detect_lock(loop: ast.While, module: Module) -> Iterator[Finding]:
    """`while True: if redis.set(name, token, nx=True): return` and `while not redis.set(name, token, nx=True): sleep(1)`."""
    if has_deadline(loop, module) or not waits_for_lock(loop, module):
        return
    for command in module.redis_commands:
        if command.only_if_new and any(node is command.call for node in ast.walk(loop)):
            yield HAZARD.finding(
                module,
                loop,
                f"`{_short(command.call)}` is tried until the key is free: while another holder keeps it, or died with it, this waits for ever",
                Confidence.MEDIUM,
            )
            return


@HAZARD.detects(ast.Call)
def detect_recursion(call: ast.Call, module: Module) -> Iterator[Finding]:
    """`except ConnectionError: return self.fetch(url)`."""
    found = endless_recursion(call, module)
    if found is None or (found.handler is not None and not means_failure(found.handler, module)):
        return
    why = _errors(found.handler) if found.handler is not None else "such a status"
    yield HAZARD.finding(
        module,
        call,
        f"`{found.function.name}` calls itself again after {why}, and nothing counts: some 1,000 failures in a row end in a RecursionError",
    )


def _errors(handler: ast.ExceptHandler) -> str:
    names = [ast.unparse(error) for error in caught(handler)]
    return "any error" if not names else names[0] if len(names) == 1 else f"{names[0]} and others"


def _short(call: ast.Call) -> str:
    text = ast.unparse(call.func)
    return text if len(text) < 40 else called(call)  # noqa: PLR2004 - what fits into one line.


@HAZARD.injects
def inject(module: Module) -> Iterator[Mutant]:
    """Takes the end away: `stop=stop_after_attempt(5)` becomes `stop=tenacity.stop_never`."""
    for policy in policies(module):
        stop = policy.settings.get("stop")
        if policy.library != "tenacity" or stop is None or policy.endless(module):
            continue
        if module.enclosing(stop, ast.Call) is policy.site:  # And not in a dict of settings, which others may share.
            edits = [importing(module, "tenacity"), replacing(module, stop, "tenacity.stop_never")]
            yield Mutant(stop.lineno, "stop=tenacity.stop_never", edited(module, edits))


BAD = (
    """
import requests
from tenacity import retry, retry_if_exception_type, wait_exponential

@retry  # expect: retry/unbounded
def charge(payment):
    return requests.post("https://bank.example/charges", json=payment, timeout=5).json()

@retry(wait=wait_exponential(max=10), retry=retry_if_exception_type(requests.Timeout))  # expect: retry/unbounded
def balance(account):
    return requests.get(f"https://bank.example/{account}", timeout=5).json()
""",
    """
import tenacity as t

PATIENT = {"wait": t.wait_fixed(1), "stop": t.stop_never}

class Bank:
    @t.retry(**PATIENT)  # expect: retry/unbounded
    async def charge(self, payment):
        return await self.client.post("/charges", json=payment)

    async def refund(self, payment):
        async for attempt in t.AsyncRetrying(wait=t.wait_fixed(1)):  # expect: retry/unbounded
            with attempt:
                return await self.client.post("/refunds", json=payment)
""",
    """
import backoff
import requests
from retry import retry as again
from retrying import retry

@backoff.on_exception(backoff.expo, requests.exceptions.RequestException)  # expect: retry/unbounded
def charge(payment):
    return requests.post("https://bank.example/charges", json=payment, timeout=5)

@retry(wait_fixed=2000)  # expect: retry/unbounded
def refund(payment):
    return requests.post("https://bank.example/refunds", json=payment, timeout=5)

@again(requests.RequestException, delay=1)  # expect: retry/unbounded
def balance(account):
    return requests.get(f"https://bank.example/{account}", timeout=5)
""",
    """
from celery import shared_task

@shared_task(autoretry_for=(Exception,), max_retries=None)  # expect: retry/unbounded
def charge(payment_id):
    bank.charge(payment_id)

@shared_task(bind=True, max_retries=None)  # expect: retry/unbounded
def refund(self, payment_id):
    try:
        bank.refund(payment_id)
    except Exception as error:
        raise self.retry(exc=error, countdown=60)
""",
    """
import asyncio
import time
import requests

def charge(payment):
    while True:  # expect: retry/unbounded
        try:
            response = requests.post("https://bank.example/charges", json=payment, timeout=5)
            response.raise_for_status()
            return response.json()
        except requests.RequestException:
            time.sleep(1)

async def ask(model, prompt):
    answer = None
    while answer is None:  # expect: retry/unbounded
        try:
            answer = await model.generate(prompt)
        except Exception as error:
            print(f"failed: {error}")
    return answer

async def store(row, db):
    done = False
    while not done:  # expect: retry/unbounded
        try:
            await db.insert(row)
            done = True
        except Exception:
            pass
""",
    """
import time
import requests

class Client:
    def fetch(self, path):
        try:
            return self.session.get(path, timeout=5)
        except requests.ConnectionError:
            time.sleep(2)
            return self.fetch(path)  # expect: retry/unbounded

    async def get(self, url, *, params=None):
        response = await self.http.get(url, params=params)
        if response.status == 401:
            self.key = await self.login()
            return await self.get(url, params=params)  # expect: retry/unbounded
        return await response.json()

    def lock(self, name, token):
        while True:  # expect: retry/unbounded
            if self.redis.set(name, token, nx=True, ex=30):
                return
            time.sleep(0.1)

    def poll(self, url):
        while True:  # expect-later: retry/unbounded
            response = requests.get(url, timeout=5)
            if response.status_code != 429:
                return response
            time.sleep(1)
""",
)

GOOD = (
    """
import asyncio
import anyio
import httpx

async def until_ready(client, url):
    with anyio.move_on_after(20):
        while True:
            try:
                return await client.post(url)
            except httpx.ConnectError:
                pass

async def charge(client, url):
    async with asyncio.timeout(5):
        while True:
            try:
                return await client.post(url)
            except httpx.ConnectError:
                continue
""",
    """
import logging
import requests
import tenacity
from tenacity import AsyncRetrying, TryAgain, before_sleep_log, retry, retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_fixed

log = logging.getLogger(__name__)

api_retry = retry(stop=stop_after_attempt(5) | stop_after_delay(30), wait=wait_fixed(1), reraise=True)

@api_retry
def charge(payment):
    return requests.post("https://bank.example/charges", json=payment, timeout=5).json()

async def refund(client, payment):
    async for attempt in AsyncRetrying(stop=stop_after_attempt(3)):
        with attempt:
            return await client.post("/refunds", json=payment)

async def beat(client):
    async for attempt in AsyncRetrying(retry=retry_if_exception_type(TryAgain)):
        with attempt:
            await client.post("/beat")

@retry(wait=wait_fixed(5), before_sleep=before_sleep_log(log, logging.WARNING))
async def listen(feed, handle):
    async for message in feed.messages():
        await handle(message)
""",
    """
import backoff
import requests
from retrying import retry
from retry import retry as again

LIMITS = dict(max_tries=5)

@backoff.on_exception(backoff.expo, requests.RequestException, **LIMITS)
def charge(payment):
    return requests.post("https://bank.example/charges", json=payment, timeout=5)

@backoff.on_predicate(backoff.fibo, max_time=30)
def balance(account):
    return requests.get(f"https://bank.example/{account}", timeout=5)

@retry(stop_max_attempt_number=3, wait_fixed=2000)
def refund(payment):
    return requests.post("https://bank.example/refunds", json=payment, timeout=5)

@again(requests.RequestException, 3)
def rates():
    return requests.get("https://bank.example/rates", timeout=5)
""",
    """
import queue
import time
import redis

def work(jobs):
    while True:
        try:
            job = jobs.get(timeout=5)
            job.run()
        except Exception:
            log.exception("a job failed")

def connect(url):
    while True:
        try:
            client = redis.Redis.from_url(url)
            client.ping()
            return client
        except redis.ConnectionError:
            time.sleep(5)

def add(r, key, amount):
    with r.pipeline() as pipe:
        while True:
            try:
                pipe.watch(key)
                value = int(pipe.get(key) or 0)
                pipe.multi()
                pipe.set(key, value + amount)
                pipe.execute()
                return value + amount
            except redis.WatchError:
                continue

def lock(r, name, token, deadline):
    while not r.set(name, token, nx=True, px=30000):
        if time.monotonic() > deadline:
            raise TimeoutError(name)
        time.sleep(0.1)

def next_job(jobs):
    while True:
        try:
            return jobs.get(timeout=1)
        except queue.Empty:
            continue
""",
    """
import time
import requests

def charge(payment):
    attempt = 0
    while True:
        try:
            return requests.post("https://bank.example/charges", json=payment, timeout=5)
        except requests.RequestException:
            attempt += 1
            if attempt == 5:
                raise
            time.sleep(2 ** attempt)

def fetch(url, deadline):
    while True:
        try:
            return requests.get(url, timeout=5)
        except requests.RequestException:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(url)
        time.sleep(1)

def patient(url, budget):
    while True:
        try:
            return requests.get(url, timeout=5)
        except requests.RequestException as error:
            budget.spend(error)

def ask():
    while True:
        try:
            return store(input("Amount? "))
        except Exception:
            print("not understood")
""",
    """
import time
import requests

class Client:
    def fetch(self, path, attempts=3):
        try:
            return self.session.get(path, timeout=5)
        except requests.ConnectionError:
            if not attempts:
                raise
            return self.fetch(path, attempts - 1)

    def get(self, url, again=True):
        response = self.session.get(url, timeout=5)
        if response.status_code == 401 and again:
            self.login()
            return self.get(url, again=False)
        return response

    def walk(self, node):
        try:
            return [self.walk(child) for child in node.children]
        except ConnectionError:
            return self.walk(node.parent)
""",
    """
from celery import shared_task

@shared_task(bind=True, max_retries=None)
def refund(self, payment_id):
    try:
        bank.refund(payment_id)
    except Exception as error:
        if self.request.retries > 20:
            return dead_letter(payment_id, error)
        raise self.retry(exc=error, countdown=60)

@shared_task(autoretry_for=(Exception,), max_retries=5)
def charge(payment_id):
    bank.charge(payment_id)
""",
)
