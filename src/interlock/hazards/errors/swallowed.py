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
import re
from typing import TYPE_CHECKING

from interlock.core.finding import Confidence, Severity
from interlock.hazards.errors._effects import MONEY, called, effects, is_effect, words
from interlock.hazards.hazard import Hazard, Mutant
from interlock.source.edit import Edit, edited
from interlock.source.module import FUNCTIONS, LOOPS, SCOPES
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
    scenario="the effect fails: a log record, an error or another answer says so",
    sources=(
        "https://cwe.mitre.org/data/definitions/390.html",
        "https://docs.python.org/3/library/asyncio-task.html#asyncio.gather",
        "https://docs.python.org/3/library/contextlib.html#contextlib.suppress",
    ),
)

_BROAD = frozenset({"Exception", "BaseException"})
# The errors that stand for everything that can go wrong in their library.
_BROAD_OF_LIBRARIES = frozenset(
    {
        "RequestException",
        "RedisError",
        "SQLAlchemyError",
        "HTTPError",
        "ClientError",
        "SMTPException",
        "StripeError",
        "BotoCoreError",
    }
    | {"DatabaseError", "OperationalError", "KafkaException", "KafkaError", "AMQPError", "GoogleAPIError", "ApiException"}
)
_PULSES = frozenset({"ping", "heartbeat", "keepalive", "telemetry", "analytics", "metrics", "track", "warm", "prefetch"})
_IN_MIGRATION = re.compile(r"(^|[/_])migrations?(/|\.py$)|(^|/)alembic/")
_TIDYING = frozenset({"rollback", "close", "aclose", "expunge", "expunge_all", "disconnect", "unlink"})
_ENDINGS = frozenset(
    {
        "close",
        "aclose",
        "shutdown",
        "cleanup",
        "clean",
        "teardown",
        "disconnect",
        "stop",
        "exit",
        "aexit",
        "del",
        "terminate",
        "dispose",
    }
    | {
        "rollback",
        "undo",
        "revert",
        "kill",
        "atexit",
        "prune",
        "purge",
        "expire",
        "cancel",
        "abort",
        "logout",
        "try",
        "safe",
        "safely",
        "quietly",
        "maybe",
    }
)


@HAZARD.detects(ast.ExceptHandler)
def detect_handler(handler: ast.ExceptHandler, module: Module) -> Iterator[Finding]:
    """`except Exception: pass` around `payment.refund()`."""
    block = module.parent(handler)
    if not isinstance(block, ast.Try) or not _is_broad(handler, module) or not _is_silent(handler) or _is_aside(block, module):
        return
    lost = [call for call in effects(block.body, module) if not _shows(call, handler, block, module)]
    if lost and not _is_expected(block, module):
        yield HAZARD.finding(module, handler, _message(lost[0], _ending(handler)), _confidence(lost))


@HAZARD.detects(ast.With, ast.AsyncWith)
def detect_suppress(block: ast.With | ast.AsyncWith, module: Module) -> Iterator[Finding]:
    """`with suppress(Exception): payment.refund()`."""
    for item in block.items:
        match item.context_expr:
            case ast.Call(func=func, args=errors) if module.names.dotted(func) == "contextlib.suppress":
                broad = any(_name(error, module) in _BROAD for error in errors)
                lost = [call for call in effects(block.body, module) if not _outlives(call, block, module)] if broad else []
                if lost and not _is_aside(block, module):
                    yield HAZARD.finding(
                        module, item.context_expr, _message(lost[0], "suppress() drops the error"), _confidence(lost)
                    )
            case _:
                pass


@HAZARD.detects(ast.Call)
def detect_gather(call: ast.Call, module: Module) -> Iterator[Finding]:
    """`await asyncio.gather(*(send(order) for order in orders), return_exceptions=True)`, and nobody looks at the result."""
    if called(call) != "gather" or not _keeps_errors(call) or _is_aside(call, module):
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


def _is_broad(handler: ast.ExceptHandler, module: Module) -> bool:
    errors = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type] if handler.type else []
    names = [_name(error, module) for error in errors]
    return not names or any(name in _BROAD or name in _BROAD_OF_LIBRARIES for name in names)


def _name(error: ast.expr, module: Module) -> str:
    return (module.names.dotted(error) or ast.unparse(error)).rpartition(".")[2]


def _is_silent(handler: ast.ExceptHandler) -> bool:
    """Whether nothing in a handler says that something failed: no call but tidying up, no value kept, nothing raised."""
    return all(_says_nothing(statement) for statement in handler.body)


def _says_nothing(statement: ast.stmt) -> bool:
    match statement:
        case ast.Pass() | ast.Continue() | ast.Return() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Expr(value=ast.Call() as call) | ast.Expr(value=ast.Await(value=ast.Call() as call)):
            return called(call) in _TIDYING and not call.args
        case _:
            return False


def _is_aside(node: ast.AST, module: Module) -> bool:
    """Whether a block is itself part of dealing with an end or an error: in a handler, a `finally`, a function that tidies up.

    So is a migration of a schema, which runs once and asks by trying whether a step was done before.
    """
    if _IN_MIGRATION.search(module.path):
        return True
    below = node
    for around in module.ancestors(node):
        if isinstance(around, ast.ExceptHandler) or (isinstance(around, ast.Try) and below in around.finalbody):
            return True
        if isinstance(around, SCOPES):
            break
        below = around
    functions = [around for around in module.ancestors(node) if isinstance(around, FUNCTIONS)]
    return any(
        not _ENDINGS.isdisjoint(words(function.name)) or not _PULSES.isdisjoint(words(function.name)) for function in functions
    )


def _shows(call: ast.Call, handler: ast.ExceptHandler, block: ast.Try, module: Module) -> bool:
    """Whether it can be seen afterwards that an effect failed: by another way on, another answer, a value that is missing."""
    end = handler.body[-1]
    if isinstance(end, ast.Return) and end.value is not None and not _is_none(end.value):
        return not _answers_alike(end.value, block, module)
    if (
        block.orelse
        or _goes_another_way(handler, block, module)
        or (not leaves(handler.body) and _leaves_after(call, block, module))
    ):
        return True
    return not _is_money(call) and _outlives(call, block, module)


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _answers_alike(answer: ast.expr, block: ast.Try, module: Module) -> bool:
    """Whether a failure gives the same answer as success: what the `try` returns, or what is returned after it.

    An empty answer (0, False, an empty list) claims no success.
    """
    if _is_empty(answer):
        return False
    after = _next_statement(block, module)
    answers = [block.body[-1], *block.orelse[-1:], *([after] if not leaves(block.body) else [])]
    return any(
        isinstance(found, ast.Return) and found.value is not None and ast.dump(found.value) == ast.dump(answer)
        for found in answers
    )


def _is_empty(answer: ast.expr) -> bool:
    match answer:
        case ast.Constant(value=value):
            return not value
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Dict(values=parts):
            return not parts
        case _:
            return False


def _next_statement(node: ast.stmt, module: Module) -> ast.stmt | None:
    """The statement that runs after this one in the same block; None at the block's end."""
    for block in _branches(module.parent(node)):
        if node in block:
            return next(iter(block[block.index(node) + 1 :]), None)
    return None


def _branches(node: ast.AST | None) -> list[list[ast.stmt]]:
    """The lists of statements that a compound statement is made of."""
    found: list[object] = [getattr(node, field, []) for field in ("body", "orelse", "finalbody")]
    return [
        branch for branch in found if isinstance(branch, list)
    ]  # The body of a lambda or of `a if b else c` is an expression.


def _goes_another_way(handler: ast.ExceptHandler, block: ast.Try, module: Module) -> bool:
    """Whether success and failure part here: one leaves the block and the other goes on."""
    success_leaves, failure_leaves = leaves(block.body), leaves(handler.body)
    if success_leaves:
        return not failure_leaves or not _ends_alike(block.body[-1], handler.body[-1])
    return failure_leaves and not _is_last(block, module, handler.body[-1])


def _leaves_after(call: ast.Call, block: ast.Try, module: Module) -> bool:
    """Whether the branch in which an effect stands leaves the `try` after it, as in `if due: send(); return`."""
    for around in [call, *module.ancestors(call)]:
        if around is block:
            return False
        branch = module.parent(around)
        if isinstance(branch, ast.If) and any(around in statements and leaves(statements) for statements in _branches(branch)):
            return True
    return False


def _ends_alike(one: ast.stmt, other: ast.stmt) -> bool:
    return ast.dump(one) == ast.dump(other)


def _is_last(node: ast.stmt, module: Module, leaving: ast.stmt) -> bool:
    """Whether nothing is skipped by leaving: the `try` is the last thing that its loop or function does."""
    target = LOOPS if isinstance(leaving, ast.Continue) else SCOPES
    statement: ast.stmt = node
    while _next_statement(statement, module) is None:
        around = module.parent(statement)
        if around is None or isinstance(around, target):
            return _returns_nothing(statement, module) if isinstance(leaving, ast.Return) else True
        if not isinstance(around, ast.stmt) or isinstance(around, LOOPS):
            return False
        statement = around
    return False


def _returns_nothing(node: ast.AST, module: Module) -> bool:
    """Whether the function around gives no value, so that `return` does not say that something failed."""
    function = module.function(node)
    values = [found.value for found in module.names.returns(function)] if function is not None else []
    return all(value is None or _is_none(value) for value in values)


def _outlives(call: ast.Call, block: ast.stmt, module: Module) -> bool:
    """Whether something that is set by the effect, or after it, is read behind the block: then its absence tells."""
    inside = [node for statement in getattr(block, "body", []) for node in ast.walk(statement)]
    targets: set[str] = set()
    for node in inside:
        if (
            isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr))
            and (node.end_lineno or 0) >= call.lineno
        ):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                targets |= {ast.unparse(part) for part in ast.walk(target) if isinstance(part, (ast.Name, ast.Attribute))}
        if (
            isinstance(node, ast.Call)
            and called(node) in {"append", "add"}
            and node.lineno >= call.lineno
            and isinstance(node.func, ast.Attribute)
        ):
            targets.add(ast.unparse(node.func.value))
    end = block.end_lineno or block.lineno
    function = module.scope(block)
    return bool(targets) and any(
        isinstance(node.ctx, ast.Load) and node.lineno > end and ast.unparse(node) in targets and module.scope(node) is function
        for node in module.nodes(ast.Name, ast.Attribute)
    )


def _is_expected(block: ast.Try, module: Module) -> bool:
    """Whether the `try` is a fallback: the statement after it does the same thing another way."""
    mine = {called(call) for call in effects(block.body, module)}
    after = _next_statement(block, module)
    following = {called(node) for node in ast.walk(after) if isinstance(node, ast.Call)} if after is not None else set[str]()
    return not mine.isdisjoint(following)


def _is_money(call: ast.Call) -> bool:
    return not MONEY.isdisjoint(words(called(call)))


def _confidence(lost: list[ast.Call]) -> Confidence:
    return Confidence.HIGH if any(_is_money(call) or called(call) in {"commit", "save"} for call in lost) else Confidence.MEDIUM


def _ending(handler: ast.ExceptHandler) -> str:
    match handler.body[-1]:
        case ast.Return(value=value) if value is not None:
            return f"the handler answers {ast.unparse(value)[:30]}, as after success"
        case _:
            return "the handler says nothing, and the code goes on as if it had worked"


def _message(call: ast.Call, how: str) -> str:
    text = ast.unparse(call.func)
    return f"`{text if len(text) < 45 else called(call)}` can fail and nobody hears of it: {how}"  # noqa: PLR2004 - what fits into one line.


@HAZARD.injects
def inject(module: Module) -> Iterator[Mutant]:
    """Drops the error: the body of a broad handler around an effect becomes `pass`."""
    for handler in module.nodes(ast.ExceptHandler):
        block = module.parent(handler)
        if not isinstance(block, ast.Try) or not _is_broad(handler, module) or _is_silent(handler) or _is_aside(block, module):
            continue
        if (
            block.orelse
            or leaves(block.body)
            or not any(not _outlives(call, block, module) for call in effects(block.body, module))
        ):
            continue
        if not _is_expected(block, module):
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

def save(order, store):
    try:
        store.save(order=order)
    except Exception:
        log.exception("order %s was not saved", order.id)
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
