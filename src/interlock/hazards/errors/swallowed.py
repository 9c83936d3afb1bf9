"""Something that changes the world fails, and the code goes on as if it had worked.

## What happens
`except Exception: pass` around a charge, a commit, a send: the money was not moved, the order not saved, the message not sent, and
nobody is told: no log, no error, no other answer. Each such loss is found weeks later by a customer or an auditor, and by then it
cannot be told how many there were. A misspelled name inside the `try` looks exactly like a dependency that is down.

## Why tests miss it
In the tests the operation works. If it does not, because it was never right, the test is green all the same: that is what the handler
is for.

## What to write instead
Catch the one error that is expected, and let all others out. Where the work must go on, leave a trace that somebody looks at and that
says what was lost: `log.exception(...)`, a metric with an alert, a row in a table of failures, an answer that says that it failed.

## Where it comes from
CWE-390 (detection of error condition without action). Refund notifications, scheduled updates and forwarded submissions of open source
projects were lost in this way for months, until a log line was added.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from interlock.core.finding import Confidence, Severity
from interlock.hazards.errors._effects import called, effects, is_effect, is_money
from interlock.hazards.errors._handlers import BROAD, error_name, is_aside, is_broad, is_silent
from interlock.hazards.errors._traces import is_expected, outlives, shows
from interlock.hazards.hazard import Hazard, Mutant
from interlock.source.edit import Edit, edited
from interlock.source.names import leaves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.core.finding import Finding
    from interlock.source.module import Module

HAZARD = Hazard(
    __name__,
    severity=Severity.HIGH,
    advice="let the error out, or leave a trace that says what was lost: log.exception(...), a metric with an alert, an answer that says so",
    needles=((b"except", b"suppress", b"return_exceptions"),),
    signal="none in the logs, which is the harm; the business metric (orders completed, refunds done) falls below what was asked for",
    scenario="lost reply on a sign-up",
    sources=(
        "https://cwe.mitre.org/data/definitions/390.html",
        "https://docs.python.org/3/library/asyncio-task.html#asyncio.gather",
        "https://docs.python.org/3/library/contextlib.html#contextlib.suppress",
    ),
)


@HAZARD.detects(ast.ExceptHandler)
def detect_handler(handler: ast.ExceptHandler, module: Module) -> Iterator[Finding]:
    """`except Exception: pass` around `payment.refund()`."""
    block = module.parent(handler)
    if not isinstance(block, ast.Try) or not is_broad(handler, module) or not is_silent(handler) or is_aside(block, module):
        return
    lost = [call for call in effects(block.body, module) if not shows(call, handler, block, module)]
    if lost and not is_expected(block, module):
        yield HAZARD.finding(module, handler, _message(lost[0], _ending(handler)), _confidence(lost))


@HAZARD.detects(ast.With, ast.AsyncWith)
def detect_suppress(block: ast.With | ast.AsyncWith, module: Module) -> Iterator[Finding]:
    """`with suppress(Exception): payment.refund()`."""
    for item in block.items:
        match item.context_expr:
            case ast.Call(func=func, args=errors) if module.names.dotted(func) == "contextlib.suppress":
                broad = any(error_name(error, module) in BROAD for error in errors)
                lost = [call for call in effects(block.body, module) if not outlives(call, block, module)] if broad else []
                if lost and not is_aside(block, module):
                    yield HAZARD.finding(
                        module, item.context_expr, _message(lost[0], "suppress() drops the error"), _confidence(lost)
                    )
            case _:
                pass


@HAZARD.detects(ast.Call)
def detect_gather(call: ast.Call, module: Module) -> Iterator[Finding]:
    """`await asyncio.gather(*(send(order) for order in orders), return_exceptions=True)`, and nobody looks at the result."""
    if called(call) != "gather" or not _keeps_errors(call) or is_aside(call, module):
        return
    around = module.parent(call)
    if not (isinstance(around, ast.Await) and isinstance(module.parent(around), ast.Expr)):
        return
    for node in (part for argument in call.args for part in ast.walk(_gathered(argument, module))):
        if isinstance(node, ast.Call) and is_effect(node, module):
            yield HAZARD.finding(module, call, _message(node, "gather() returns the errors, and the result is dropped"))
            return


def _keeps_errors(call: ast.Call) -> bool:
    return any(
        keyword.arg == "return_exceptions" and isinstance(keyword.value, ast.Constant) and keyword.value.value
        for keyword in call.keywords
    )


def _gathered(argument: ast.expr, module: Module) -> ast.expr:
    """What is gathered: `*tasks` is what `tasks` was made of."""
    value = argument.value if isinstance(argument, ast.Starred) else argument
    if isinstance(value, ast.Name):
        bindings = module.names.reaching(value.id, value)
        return bindings[0].value if bindings and bindings[0].value is not None else value
    return value


def _confidence(lost: list[ast.Call]) -> Confidence:
    return Confidence.HIGH if any(is_money(call) or called(call) in {"commit", "save"} for call in lost) else Confidence.MEDIUM


def _ending(handler: ast.ExceptHandler) -> str:
    match handler.body[-1]:
        case ast.Return(value=value) if value is not None:
            return f"the handler answers {ast.unparse(value)[:30]}, as after success"
        case _:
            return "the handler says nothing, and the code goes on as if it had worked"


def _message(call: ast.Call, how: str) -> str:
    text = ast.unparse(call if called(call) == "open" else call.func)  # Which file it is, is what matters.
    return f"`{text if len(text) < 45 else called(call)}` can fail and nobody hears of it: {how}"  # noqa: PLR2004 - what fits into one line.


@HAZARD.injects
def inject(module: Module) -> Iterator[Mutant]:
    """Drops the error: the body of a broad handler around an effect becomes `pass`."""
    for handler in module.nodes(ast.ExceptHandler):
        block = module.parent(handler)
        if not isinstance(block, ast.Try) or not is_broad(handler, module) or is_silent(handler) or is_aside(block, module):
            continue
        if (
            block.orelse
            or leaves(block.body)
            or not any(not outlives(call, block, module) for call in effects(block.body, module))
        ):
            continue
        if not is_expected(block, module):
            edit = Edit(module.start(handler.body[0]), module.end(handler.body[-1]), "pass")
            yield Mutant(handler.lineno, "a handler that says nothing", edited(module, [edit]))


BAD = (
    """
def refund_all(payments):
    for payment in payments:
        try:
            payment.refund()
        except Exception:  # expect: errors/swallowed
            pass

def checkout(order, session):
    session.add(order)
    try:
        session.commit()
    except:  # expect: errors/swallowed
        session.rollback()
    return {"status": "ok"}
""",
    """
import requests

def forward(submission, services):
    for service in services:
        try:
            requests.post(service.url, json=submission, timeout=5)
        except requests.RequestException:  # expect: errors/swallowed
            continue

def notify(order):
    try:
        mailer.send(order.email, "Thank you")
        return True
    except Exception as error:  # expect: errors/swallowed
        return True
""",
    """
import sqlalchemy as s

def set_status(session, repo_id, status):
    message = s.sql.text("INSERT INTO status_log (repo_id, status) VALUES (:repo_id, :status)").bindparams(repo_id=repo_id)
    try:
        session.execute_sql(message)
    except:  # expect: errors/swallowed
        pass

class Workspaces:
    def create(self, name):
        service = self.core.create_service(name)
        try:
            if self.ingress:
                self.add_to_ingress(service)
        except Exception:  # expect: errors/swallowed
            pass
        return service

    def add_to_ingress(self, service):
        self.network.replace_ingress(self.ingress, service)
""",
    """
import asyncio
from contextlib import suppress

async def announce(orders, mailer):
    await asyncio.gather(*(mailer.send(order) for order in orders), return_exceptions=True)  # expect: errors/swallowed

def archive(order, store):
    with suppress(Exception):  # expect: errors/swallowed
        store.save(order=order)

def webhook(request):
    is_refunded = False
    try:
        is_refunded = refund(request.payment)
    except Exception:  # expect: errors/swallowed
        pass
    return 200 if is_refunded else 500
""",
    """
def export(book, target):
    try:
        with open(target, mode="wb") as file:
            file.write(book.content)
    except Exception:  # expect: errors/swallowed
        pass

def download(store, prefix, path):
    try:
        with path.open("wb") as file:
            for chunk in store.chunks(prefix):
                file.write(chunk)
        log.info("%s was downloaded", path)
    except OSError:
        raise
    except Exception:  # expect: errors/swallowed
        pass

def write_invoice(invoice, folder):
    try:
        (folder / invoice.number).write_text(invoice.text)
    except:  # expect: errors/swallowed
        return
""",
    """
def import_rows(rows, target):
    for row in rows:
        try:
            target.take(row)
        except Exception:  # expect-later: errors/swallowed
            pass
""",
)

GOOD = (
    """
import os
import webbrowser

def read(path, cache_path):
    try:
        with open(path, "rb") as file:
            content = file.read()
    except Exception:
        return None
    try:
        cache_path.write_bytes(content)
    except Exception:
        pass
    return content

def claim(folder):
    try:
        with open(folder / "worker.lock", "w") as file:
            file.write(str(os.getpid()))
    except Exception:
        pass

def export(book, target):
    try:
        with open(target, "w") as file:
            file.write(book.content)
    except Exception as error:
        raise ExportFailed(target) from error

def show(page):
    try:
        webbrowser.open(page.url, "now")
    except Exception:
        pass
""",
    """
import logging

log = logging.getLogger(__name__)

def refund_all(payments):
    for payment in payments:
        try:
            payment.refund()
        except Exception:
            log.exception("payment %s was not refunded", payment.id)

def checkout(order, session):
    session.add(order)
    try:
        session.commit()
    except Exception:
        session.rollback()
        raise
""",
    """
from contextlib import suppress

try:
    import orjson as json
except Exception:
    json = None

class Connection:
    def close(self):
        try:
            self.socket.send(b"bye")
        except Exception:
            pass

    def read(self, key):
        try:
            return self.client.get(key)
        except Exception:
            return None

    def forget(self, path):
        with suppress(FileNotFoundError):
            path.unlink()
""",
    """
def send_receipt(order, mailer):
    sent = False
    try:
        mailer.send(order.email)
        sent = True
    except Exception:
        pass
    return sent

def notify(order, mailer):
    try:
        mailer.send(order.email)
    except Exception:
        return False
    return True

def deliver(message, servers):
    for server in servers:
        try:
            server.send(message)
            return server
        except Exception:
            continue
    raise RuntimeError("no server took the message")
""",
    """
import logging

log = logging.getLogger(__name__)

def add_member(team, user):
    try:
        Member.objects.create(team=team, user=user)
    except IntegrityError:
        pass

def charge(bank, payment, statsd):
    try:
        receipt = bank.charge(payment)
    except Exception as error:
        try:
            bank.notify(error)
        except Exception:
            pass
        raise
    try:
        statsd.send("charged", 1)
    except Exception:
        pass
    return receipt
""",
    """
import asyncio

async def announce(orders, mailer, failures):
    results = await asyncio.gather(*(mailer.send(order) for order in orders), return_exceptions=True)
    failures.extend(result for result in results if isinstance(result, Exception))

async def stop(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

def collect(rows):
    collection = set()
    for row in rows:
        try:
            collection.add(row.key)
        except Exception:
            pass
""",
    """
def remind(order, mailer, log):
    try:
        if order.due:
            mailer.send(order.email)
            return
    except Exception:
        pass
    log.info("no reminder for %s", order.id)

def deliver(message, primary, backup):
    try:
        primary.send(message)
    except Exception:
        pass
    backup.send(message)

def requests_of(site, search):
    try:
        hits = search.session.post("/_search", json={"site": site}).json()
        if hits:
            return hits[0]["counter"]
        return 0
    except Exception:
        return 0

def names(rows, labels):
    for row in rows:
        try:
            label = labels.add_prefix(row.name)
        except Exception:
            pass
""",
)
