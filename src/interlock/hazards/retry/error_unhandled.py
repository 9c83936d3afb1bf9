"""After the last attempt a retry raises another error than the one that its callers wait for.

## What happens
When tenacity gives up it raises its own `RetryError`, which is no kind of the error that failed. An `except requests.Timeout` around
the call has stopped working in the moment `@retry` was put on the function: the fallback, the message to the customer, the release of
the reservation never run, and the request ends as a 500. An `HTTPException` that is raised inside the retry becomes one as well, and so
does, even with `reraise=True`, the result that was not good enough to the end: `if status == "pending":` after it never runs. The
other way round it is the same: with `reraise=True` a handler for `RetryError` waits for an error that never comes.

## Why tests miss it
The test of the handler replaces the retried function by a mock that raises the original error, and the test of the retry succeeds on
the second attempt. No test lets all attempts fail.

## What to write instead
`@retry(stop=..., reraise=True)`: the last error itself comes out, and all handlers go on working. Or catch `tenacity.RetryError` where
the fallback is, outside of the function that is retried.

## Where it comes from
tenacity's documentation, "Error handling", and its issues 24 and 44, in which callers are surprised by it.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from interlock.core.finding import Confidence, Severity
from interlock.core.pattern import pattern
from interlock.hazards.hazard import Hazard, Mutant
from interlock.hazards.retry._conditions import errors_of, is_retry_error, is_wrapped, loses_errors
from interlock.hazards.retry._errors import BROAD, spelled
from interlock.hazards.retry._handlers import passed_by, waits_for_retry_error, why_dead, within
from interlock.hazards.retry._policies import policies, retried_by
from interlock.hazards.retry._results import dead_tests, next_is_lost, waits_for_result
from interlock.hazards.retry._sources import is_caught, is_run, raised_in, sources_in
from interlock.source.edit import edited, replacing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.core.finding import Finding
    from interlock.hazards.retry._policies import Policy
    from interlock.hazards.retry._sources import Source
    from interlock.source.module import Function, Module

HAZARD = Hazard(
    __name__,
    severity=Severity.HIGH,
    advice="retry with reraise=True, so that the last error itself comes out; or catch tenacity.RetryError outside of what is retried",
    needles=((b"tenacity",), (b"retry", b"Retrying")),
    signal="RetryError in the error tracker; 500s where a fallback or a 4xx was meant, each time a dependency is down for longer",
    scenario="poison item",
    sources=(
        "https://tenacity.readthedocs.io/en/latest/#error-handling",
        "https://github.com/jd/tenacity/issues/24",
        "https://github.com/jd/tenacity/issues/44",
    ),
)

# What a web framework or command line turns into an answer; wrapped in another error it is a crash.
_ANSWERS = pattern(
    r"^(fastapi|starlette|werkzeug|django|flask|rest_framework|aiohttp\.web|litestar|click|typer)\..*"
    r"(HTTPException|Http404|PermissionDenied|NotFound|BadRequest|Forbidden|Unauthorized|ValidationError|ClickException|HTTP\w+|Exit|Abort)$"
)


@HAZARD.detects(ast.Module)
def detect_lost_error(tree: ast.Module, module: Module) -> Iterator[Finding]:
    """`except requests.Timeout:` around a call that raises RetryError, and a task that nothing protects from it.

    The finding stands at the handler, not at the policy: it is the handler that is dead, and the same policy can be right for a caller
    who waits for RetryError.
    """
    told: set[ast.ExceptHandler] = set()
    for source in sources_in(module) if tree is module.tree else ():
        if not loses_errors(source.policy):
            continue
        for handler, error in passed_by(source, module):
            if handler in told:
                continue
            told.add(handler)
            message = f"`except {error}` misses the failures of `{source.name}` that were tried again: after the last attempt they are RetryError"
            yield HAZARD.finding(module, handler, message)
        task = module.function(source.site)
        if task is not None and _ends_a_task(task, source, module):
            message = f"after the last attempt of {source.name} RetryError ends the task `{task.name}`: nothing catches it, and the job is dropped"
            yield HAZARD.finding(module, source.site, message, Confidence.MEDIUM)


def _ends_a_task(function: Function, source: Source, module: Module) -> bool:
    """Whether a background job ends with RetryError and is not run again: nobody above it waits for an error."""
    if is_caught(source.site, module) or (isinstance(source.site, ast.Call) and not is_run(source, module)):
        return False
    for decorator in function.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        name = call.func if call else decorator
        last = name.attr if isinstance(name, ast.Attribute) else name.id if isinstance(name, ast.Name) else ""
        given = {keyword.arg: keyword.value for keyword in call.keywords} if call else dict[str | None, ast.expr]()
        if last in {"task", "shared_task"} and "celery" in module.text and given.keys().isdisjoint({"base", None}):
            retries = any(isinstance(node, ast.Attribute) and node.attr == "retry" for node in ast.walk(function))
            return not retries and not _runs_again(given.get("autoretry_for"), module)
    return False


def _runs_again(autoretry: ast.expr | None, module: Module) -> bool:
    """Whether Celery runs a task again after RetryError: `autoretry_for=(Exception,)`, or errors that cannot be read here."""
    match autoretry:
        case None:
            return False
        case ast.Tuple(elts=errors) | ast.List(elts=errors):
            return any(spelled(error, module) in BROAD or is_retry_error(spelled(error, module)) for error in errors)
        case _:
            return True


@HAZARD.detects(ast.FunctionDef, ast.AsyncFunctionDef)
def detect_broken_promise(function: Function, module: Module) -> Iterator[Finding]:
    """`raise HTTPException(404)` inside of a retry, and a docstring that says `Raises: requests.HTTPError`."""
    policy = retried_by(function, module)
    if policy is None or not loses_errors(policy):
        return
    for error in raised_in(function, module):
        if _ANSWERS.match(spelled(error, module)) and is_wrapped(error, policy, module):
            message = f"`{ast.unparse(error)}` is raised inside the retry of `{function.name}`: the framework is given RetryError, and answers 500"
            yield HAZARD.finding(module, error, message)
            return
    for promised in _promised(function):
        if any(
            ast.unparse(error).endswith(promised) and is_wrapped(error, policy, module)
            for error in _known_errors(function, policy, module)
        ):
            message = (
                f"`{function.name}` says that it raises {promised}, but after the last attempt it raises tenacity.RetryError"
            )
            yield HAZARD.finding(module, policy.site, message, Confidence.MEDIUM)
            return


@HAZARD.detects(ast.Module)
def detect_lost_result(tree: ast.Module, module: Module) -> Iterator[Finding]:
    """`if status == "pending":` behind what is retried while the status is pending, and a search that ends at the first failure."""
    for source in sources_in(module) if tree is module.tree and "_result" in module.text else ():
        if not source.direct or not waits_for_result(source.policy, module) or not is_run(source, module):
            continue
        for question in dead_tests(source, module):
            message = f"`{ast.unparse(question.test)}` is never true: after the last attempt `{source.name}` raises RetryError and gives no result"
            yield HAZARD.finding(module, question, message)
        loop = next_is_lost(source, module)
        if loop is not None:
            message = f"if `{source.name}` gives up, RetryError ends the loop: what follows in `{ast.unparse(loop.iter)[:40]}` is never tried"
            yield HAZARD.finding(module, source.site, message)


@HAZARD.detects(ast.Module)
def detect_dead_retry_error(tree: ast.Module, module: Module) -> Iterator[Finding]:
    """`except RetryError` around what is retried with `reraise=True`, and inside of the function that is retried."""
    handlers = [handler for handler in module.nodes(ast.ExceptHandler) if waits_for_retry_error(handler, module)]
    sources = sources_in(module) if handlers and tree is module.tree else []
    for handler in handlers:
        block = module.parent(handler)
        if not isinstance(block, ast.Try):
            continue
        body = within(block)
        message = why_dead(handler, block, [source for source in sources if source.site in body], module)
        if message:
            yield HAZARD.finding(module, handler, message)


def _promised(function: Function) -> Iterator[str]:
    """The errors that a docstring says are raised."""
    text = ast.get_docstring(function) or ""
    if "RetryError" in text:
        return
    yield from re.findall(r":raises? ([\w.]+):", text)
    section = re.search(r"^Raises:?\n(?:-+\n)?((?:.*\n?)*)", text, re.MULTILINE)
    if section:
        yield from re.findall(r"^\s*([A-Z]\w*|\w+(?:\.\w+)+)\s*(?::|$)", section[1], re.MULTILINE)


def _known_errors(function: Function, policy: Policy, module: Module) -> Iterator[ast.expr]:
    """The errors that a retried function raises by name, and those that the retry is for."""
    yield from raised_in(function, module)
    condition = policy.settings.get("retry")
    yield from errors_of(condition, module) if condition is not None else ()


@HAZARD.injects
def inject(module: Module) -> Iterator[Mutant]:
    """Takes the original error away: `reraise=True` becomes `reraise=False`."""
    for policy in policies(module):
        value = policy.settings.get("reraise")
        if isinstance(value, ast.Constant) and value.value is True and policy.library == "tenacity":
            yield Mutant(value.lineno, "reraise=False", edited(module, [replacing(module, value, "False")]))


BAD = (
    """
import requests
from tenacity import retry, stop_after_attempt, wait_fixed

@retry(stop=stop_after_attempt(3), wait=wait_fixed(1))
def charge(payment):
    response = requests.post("https://bank.example/charges", json=payment, timeout=5)
    response.raise_for_status()
    return response.json()

def checkout(order):
    try:
        receipt = charge(order.payment)
        order.complete(receipt)
    except requests.RequestException:  # expect: retry/error-unhandled
        order.release_stock()
""",
    """
import redis.asyncio as redis
import tenacity

again = tenacity.retry(
    stop=tenacity.stop_after_delay(10),
    retry=tenacity.retry_if_exception_type((redis.ConnectionError, redis.TimeoutError)),
)

class Stock:
    @again
    async def _reserve(self, item):
        return await self.redis.decr(item)

    async def _checked(self, item):
        left = await self._reserve(item)
        return left >= 0

    async def reserve(self, item):
        try:
            return await self._checked(item)
        except redis.RedisError:  # expect: retry/error-unhandled
            return await self.reserve_later(item)
""",
    """
import httpx
from tenacity import AsyncRetrying, RetryError, Retrying, stop_after_attempt

class Bank:
    def __init__(self):
        self.retrying = Retrying(stop=stop_after_attempt(3))

    def refund(self, payment):
        try:
            return self.retrying(self._refund, payment)
        except httpx.HTTPStatusError as error:  # expect: retry/error-unhandled
            return error.response.status_code

    async def charge(self, payment):
        try:
            async for attempt in AsyncRetrying(stop=stop_after_attempt(3)):
                with attempt:
                    return httpx.post("https://bank.example/charges", json=payment)
        except httpx.HTTPError:  # expect: retry/error-unhandled
            return None

    async def balance(self, account):
        try:
            async for attempt in AsyncRetrying(stop=stop_after_attempt(3), reraise=True):
                with attempt:
                    return await self.client.get(account)
        except RetryError:  # expect: retry/error-unhandled
            return None
""",
    '''
from fastapi import HTTPException
from tenacity import RetryError, retry, retry_if_exception_type, stop_after_attempt

class BankDown(Exception):
    pass

@retry(stop=stop_after_attempt(3))
async def account(client, number):
    found = await client.get(number)
    if found is None:
        raise HTTPException(404, "no such account")  # expect: retry/error-unhandled
    return found

@retry(stop=stop_after_attempt(3), retry=retry_if_exception_type(BankDown))  # expect: retry/error-unhandled
def charge(client, payment):
    """Charges a payment.

    Raises:
        BankDown: if the bank does not answer.
    """
    return client.charge(payment)

@retry(stop=stop_after_attempt(3))
def refund(client, payment):
    try:
        return client.refund(payment)
    except RetryError:  # expect: retry/error-unhandled
        return None
''',
    """
from functools import partial
from celery import shared_task
from git import GitError, Repo
from tenacity import Retrying, retry, stop_after_attempt

class Cloner:
    PATIENCE = {"stop": stop_after_attempt(2)}

    def __init__(self, patience=None):
        self.patience = patience if patience is not None else self.PATIENCE

    def clone(self, url):
        clone = retry(**self.patience)(partial(Repo.clone_from, url=url))
        try:
            return clone()
        except GitError as error:  # expect: retry/error-unhandled
            raise CloneFailed(url) from error

@shared_task
def reboot(host):
    for attempt in Retrying(stop=stop_after_attempt(5)):  # expect: retry/error-unhandled
        with attempt:
            host.reboot()

@shared_task(autoretry_for=(ConnectionError, TimeoutError), max_retries=5)
def shut_down(host):
    for attempt in Retrying(stop=stop_after_attempt(5)):  # expect: retry/error-unhandled
        with attempt:
            host.shut_down()
""",
    """
import click
import requests
from tenacity import retry, retry_if_result, stop_after_attempt
from tenacity.retry import retry_if_not_result

@retry(stop=stop_after_attempt(3))
def log_in(session):
    name = click.prompt("Name")
    session.post("/login", data={"name": name}).raise_for_status()

def main(session):
    try:
        log_in(session)
        session.get("/").raise_for_status()
    except requests.HTTPError:  # expect: retry/error-unhandled
        print("the name is wrong")
    except click.exceptions.Abort:  # expect: retry/error-unhandled
        print("bye")
    except Exception:
        log.exception("bug")

@retry(stop=stop_after_attempt(30), retry=retry_if_result(lambda status: status in ("ringing", "queued")))
def picked_up(call):
    return call.fetch().status

def alarm(people, calls):
    for person in people:
        call = calls.create(person)
        picked_up(call)  # expect: retry/error-unhandled
        if call.status == "answered":
            break

def is_ready(state):
    return state == "ready"

class Image:
    @retry(stop=stop_after_attempt(9), retry=retry_if_not_result(is_ready), reraise=True)
    async def wait(self):
        return await self.sync()

    async def publish(self):
        state = await self.wait()
        if state != "ready":  # expect: retry/error-unhandled
            await self.give_up()

@retry(stop=stop_after_attempt(9), retry=retry_if_result(lambda found: not found))
def find(index, word):
    return index.search(word)

def first(index, word):
    hits = find(index, word)
    if hits is None:  # expect: retry/error-unhandled
        return "nothing"
    return hits[0]
""",
    """
import requests
from shop.http import get_with_retry

def rates():
    try:
        return get_with_retry("https://bank.example/rates")
    except requests.Timeout:  # expect-later: retry/error-unhandled
        return {}
""",
)

GOOD = (
    """
import requests
from tenacity import RetryError, retry, retry_if_exception_type, retry_if_result, stop_after_attempt

@retry(stop=stop_after_attempt(30), retry=retry_if_result(lambda status: status in ("ringing", "queued")))
def picked_up(call):
    return call.fetch().status

def alarm(people, calls):
    for person in people:
        call = calls.create(person)
        try:
            status = picked_up(call)
        except RetryError:
            continue
        if status == "answered":
            break

def all_calls(calls):
    for call in calls:
        picked_up(call)

def after(call):
    status = picked_up(call)
    if status in ("busy", "failed"):
        return "later"
    status = call.status
    if status in ("ringing", "queued"):
        return "odd"

@retry(stop=stop_after_attempt(3), retry=retry_if_result(lambda found: found is None), retry_error_callback=lambda state: None)
def find(index, word):
    return index.search(word)

def first(index, word):
    found = find(index, word)
    if found is None:
        return "nothing"

@retry(stop=stop_after_attempt(3), retry=retry_if_exception_type(requests.ConnectionError))
def rates():
    response = requests.get("https://bank.example/rates", timeout=5)
    response.raise_for_status()
    return response

def stock():
    try:
        return rates()
    except requests.HTTPError:
        return None
""",
    """
from celery import shared_task
from tenacity import RetryError, Retrying, stop_after_attempt

@shared_task(autoretry_for=(Exception,), max_retries=5)
def reboot(host):
    for attempt in Retrying(stop=stop_after_attempt(5)):
        with attempt:
            host.reboot()

@shared_task
def shut_down(host):
    try:
        for attempt in Retrying(stop=stop_after_attempt(5)):
            with attempt:
                host.shut_down()
    except RetryError:
        host.mark_unreachable()
""",
    """
import requests
from tenacity import retry, stop_after_attempt, wait_fixed

@retry(stop=stop_after_attempt(3), wait=wait_fixed(1), reraise=True)
def charge(payment):
    response = requests.post("https://bank.example/charges", json=payment, timeout=5)
    response.raise_for_status()
    return response.json()

def checkout(order):
    try:
        receipt = charge(order.payment)
        order.complete(receipt)
    except requests.RequestException:
        order.release_stock()
""",
    """
import requests
import tenacity
from tenacity import RetryError, retry, stop_after_attempt

@retry(stop=stop_after_attempt(3))
def charge(payment):
    return requests.post("https://bank.example/charges", json=payment, timeout=5)

def checkout(order):
    try:
        return charge(order.payment)
    except (RetryError, requests.RequestException):
        order.release_stock()

def later(order):
    try:
        return charge(order.payment)
    except tenacity.RetryError as error:
        raise error.last_attempt.exception()

def best_effort(order):
    try:
        return charge(order.payment)
    except Exception:
        order.release_stock()
""",
    """
import requests
from tenacity import retry, retry_if_exception_type, retry_if_result, stop_after_attempt

@retry(stop=stop_after_attempt(3), retry=retry_if_exception_type(requests.ConnectionError))
def charge(payment):
    return requests.post("https://bank.example/charges", json=payment, timeout=5)

def checkout(order):
    try:
        receipt = charge(order.payment)
        return order.totals["paid"], int(receipt.text)
    except (KeyError, ValueError):
        return None

@retry(stop=stop_after_attempt(3), retry=retry_if_result(lambda status: status == "pending"))
def status(payment):
    return requests.get(payment, timeout=5).json()["status"]

@retry(stop=stop_after_attempt(3))
def account(bank, number):
    return bank.account(number)

def holder(bank, number, directory):
    try:
        return directory[account(bank, number).holder]
    except KeyError:
        return None

def is_paid(payment):
    try:
        return status(payment) == "paid"
    except requests.RequestException:
        return False
""",
    """
import requests
from tenacity import retry, retry_if_exception, retry_if_not_exception_type, stop_after_attempt

class Declined(Exception):
    pass

def nothing(state):
    return None

@retry(stop=stop_after_attempt(3), retry=retry_if_not_exception_type(Declined))
def charge(payment):
    answer = bank.charge(payment)
    if answer.declined:
        raise Declined(answer)
    return answer

def is_busy(error):
    return isinstance(error, requests.HTTPError) and error.response.status_code == 503

@retry(stop=stop_after_attempt(3), retry=retry_if_exception(is_busy))
def account(number):
    response = requests.get(f"https://bank.example/{number}", timeout=5)
    response.raise_for_status()
    return response

def exists(number):
    try:
        account(number)
    except requests.HTTPError as error:
        if error.response.status_code != 404:
            raise
        return False
    return True

@retry(stop=stop_after_attempt(3), retry_error_callback=nothing)
def rates():
    return requests.get("https://bank.example/rates", timeout=5)

def checkout(order):
    try:
        return charge(order.payment), rates()
    except Declined:
        order.release_stock()

def prices():
    try:
        return rates()
    except requests.Timeout:
        return None
""",
    '''
from fastapi import HTTPException
from tenacity import retry, stop_after_attempt

@retry(stop=stop_after_attempt(3), reraise=True)
async def account(client, number):
    found = await client.get(number)
    if found is None:
        raise HTTPException(404, "no such account")
    return found

@retry(stop=stop_after_attempt(3))
def charge(client, payment):
    """Charges a payment.

    Raises:
        RetryError: if the bank does not answer.
    """
    return client.charge(payment)
''',
)
