"""Two clients read the same thing in Redis, and both act on it.

## What happens
The code asks Redis and then acts on the answer in a second command: no lock there, so take it; fewer than ten requests, so count one
more; these items are due, so process them and take them off. Between the two commands every other client can do the same, and
under load one does: a card is charged twice, a limit of ten lets thirty through, one of two updates is gone, and a lock that had
expired in between is deleted although somebody else holds it by now.

## Why tests miss it
A test has one client, and for one client two commands are as good as one. The gap is a network round trip wide, a fraction of a
millisecond when the test's Redis is on the same machine, and nothing but a second client can fall into it.

## What to write instead
Let one command decide, and look at its answer: `SET key value NX EX 60` for a lock or a marker, `INCR` first and compare its result for
a limit, `GETDEL` for a code that works once, `if r.zrem(key, item): process(item)` for a claim. What takes more than one command belongs
in a Lua script (releasing a lock: compare and delete) or between WATCH and EXEC with a retry on WatchError.

## Where it comes from
The payment retry queue, in both of its published versions: workers read due payments with ZRANGEBYSCORE, charge, and take them off
with ZREM whose answer nobody reads. With two workers, 1000 of 1000 payments were charged twice.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from interlock.core.finding import Severity
from interlock.hazards.hazard import Hazard, Mutant
from interlock.hazards.redis._accesses import accesses_in, calls_in
from interlock.hazards.redis._claims import unclaimed
from interlock.hazards.redis._flow import Sense, guards, senses
from interlock.hazards.redis._free import taken_later
from interlock.hazards.redis._locks import is_guarded
from interlock.hazards.redis._pairs import Pair, race, shown
from interlock.source.edit import edited, replacing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.core.finding import Finding
    from interlock.hazards.redis._accesses import Access
    from interlock.source.module import Function, Module

HAZARD = Hazard(
    __name__,
    severity=Severity.CRITICAL,
    advice="let one command decide and look at its answer: SET NX EX, INCR then compare, ZREM before processing, or a Lua script",
    needles=(
        (b"redis", b"Redis", b"REDIS", b"valkey", b"django.core.cache"),
        (
            b"get(", b"exists(", b"has_key(", b"ismember(", b"zscore(", b"range", b"members(", b"card(", b"llen(", b"hlen(", b"getall(",
            b"hkeys(", b"hvals(", b"zcount(", b"lindex(", b"zrank(", b"scan_iter(",
        ),
        (
            b"set(", b"setex(", b"add(", b"push(", b"incr", b"decr", b"delete(", b"unlink(", b"rem(", b"del(", b"trim(", b"remrangeby",
            b"pop(", b"expire(", b"setbit(",
        ),
    ),
    signal="the same thing is done twice within milliseconds: duplicate charges, jobs or messages; counters that lag behind",
    scenario="two transfers at once",
    sources=(
        "https://redis.io/docs/latest/develop/using-commands/transactions/",
        "https://redis.io/docs/latest/commands/set/",
        "https://cwe.mitre.org/data/definitions/367.html",
    ),
)  # fmt: skip


@HAZARD.detects(ast.FunctionDef, ast.AsyncFunctionDef)
def detect(function: Function, module: Module) -> Iterator[Finding]:
    """One finding for each key that a function first reads and then acts on."""
    if not accesses_in(module).commands or not calls_in(module).get(function):
        return
    accesses = accesses_in(module).of(function)
    told: list[tuple[Access, Access]] = []
    for pair, message in _races(accesses, module):
        if not any(_is_told(pair, earlier, module) for earlier in told):
            told.append((pair.read, pair.write))
            yield HAZARD.finding(module, pair.read.at, message)
    for read in accesses:
        if not any(earlier.meets(read) for earlier, _ in told):
            write = unclaimed(read, function, module)
            if write is not None:
                told.append((read, write))
                yield _claim(read, write, module)
        taken = taken_later(read, module)
        if taken is not None and not is_guarded(module, read.at):
            message = f"{shown(read, module)} is found free here and taken in line {taken.at.lineno}: two clients that look at once get the same one"
            yield HAZARD.finding(module, read.at, message)


def _races(accesses: list[Access], module: Module) -> Iterator[tuple[Pair, str]]:
    for write in accesses:
        for read in accesses:
            pair = Pair(read, write, accesses, module)
            message = race(pair) if pair.is_apart else ""
            if message and not is_guarded(module, write.at) and not pair.is_fresh:
                yield pair, message


def _is_told(pair: Pair, earlier: tuple[Access, Access], module: Module) -> bool:
    """Whether a finding has been told of the same key, or of a test that decides whether one gets to this write at all."""
    read, write = earlier
    if read.meets(pair.read) or write.meets(pair.write):
        return True
    return any(sense is Sense.ABSENT for guard in guards(module, pair.write.at) for sense, _ in senses(module, guard, read))


def _claim(read: Access, write: Access, module: Module) -> Finding:
    key, name = shown(read, module), write.name.upper()
    if module.function(write.at) is not module.function(read.at):
        message = f"two workers can read the same items of {key} here and act on each; nobody looks whether the {name} in line {write.at.lineno} took one off"
        return HAZARD.finding(module, read.at, message)
    if write.name in {"delete", "unlink"}:
        message = f"what was added to {key} since line {read.at.lineno} is deleted unread by this {name}; two workers act on what both read"
    else:
        message = f"two workers can read the same items of {key} in line {read.at.lineno} and act on each; nobody looks whether this {name} took one off"
    return HAZARD.finding(module, write.at, message)


@HAZARD.injects
def inject(module: Module) -> Iterator[Mutant]:
    """Splits `if r.set(key, value, nx=True, ...):` into the question and the write."""
    for node in module.nodes(ast.If):
        match node:
            case ast.If(
                test=ast.UnaryOp(op=ast.Not(), operand=ast.Call() as call), body=[ast.Return() | ast.Raise() as leaving]
            ):
                yield from _split(module, node, call, leaving)
            case _:
                pass


def _split(module: Module, node: ast.If, call: ast.Call, leaving: ast.stmt) -> Iterator[Mutant]:
    command = next(
        (found for found in module.redis_commands if found.call is call and found.only_if_new and found.key is not None), None
    )
    if command is None or command.key is None or command.name != "set":
        return
    indent = " " * node.col_offset
    client = module.segment(command.receiver)
    options = ", ".join(module.segment(argument) for argument in call.args)
    options += "".join(
        f", {keyword.arg}={module.segment(keyword.value)}" for keyword in call.keywords if keyword.arg not in {"nx", None}
    )
    text = f"if {client}.exists({module.segment(command.key)}):\n{indent}    {module.segment(leaving)}\n{indent}{client}.set({options})"
    yield Mutant(node.lineno, "SET NX becomes EXISTS, then SET", edited(module, [replacing(module, node, text)]))


BAD = (
    """
import time
import redis

r = redis.Redis()

def run_once(job_id, job):
    if r.exists(f"lock:{job_id}"):  # expect: redis/check-then-act
        return
    r.set(f"lock:{job_id}", time.time(), ex=60)
    job()

async def claim(pool, order_id, charge):
    key = "paid:%s" % order_id
    if not await redis_client.get(key):  # expect: redis/check-then-act
        await charge(order_id)
        await redis_client.setex(key, 86400, "1")

def raise_or_lock(key, timeout):
    until = r.get(key)  # expect: redis/check-then-act
    if until:
        left = int(until) - time.time()
        if left > 0:
            raise AlreadyQueued(left)
    r.setex(key, timeout, time.time() + timeout)

def start(job):
    if r.hget("states", job) == b"pending":  # expect: redis/check-then-act
        r.hset("states", job, "running")
        execute(job)

def send_once(mail, is_strict):
    if is_strict:
        if r.exists(f"sent:{mail.id}"):  # expect: redis/check-then-act
            return
    r.set(f"sent:{mail.id}", 1, ex=3600)
    deliver(mail)

def enter(name):
    while r.get(f"mutex:{name}"):  # expect: redis/check-then-act
        time.sleep(0.1)
    r.setex(f"mutex:{name}", 30, "held")
    work(name)
""",
    """
import json
from redis import Redis

class Webhooks:
    def __init__(self, client: Redis):
        self.client = client

    def _is_processed(self, event_id):
        return bool(self.client.exists(f"event:{event_id}"))

    def _mark(self, event_id):
        self.client.setex(f"event:{event_id}", 3600, "1")

    def handle(self, event):
        if self._is_processed(event["id"]):  # expect: redis/check-then-act
            return "duplicate"
        self.deliver(event)
        self._mark(event["id"])

    def pay(self, idempotency_key, order):
        cached = self.client.get(f"idempotency:{idempotency_key}")  # expect: redis/check-then-act
        if cached:
            return json.loads(cached)
        receipt = self.bank.charge(order)
        self.client.set(f"idempotency:{idempotency_key}", json.dumps(receipt), ex=86400)
        return receipt

    def crawl(self, url):
        if self.client.sismember("visited", url):  # expect: redis/check-then-act
            return
        self.download(url)
        self.client.sadd("visited", url)
""",
    """
import json
import time
import redis

client = redis.Redis()

def allow(user_id, limit=10):
    key = f"rate:{user_id}"
    if int(client.get(key) or 0) >= limit:  # expect: redis/check-then-act
        return False
    client.incr(key)
    client.expire(key, 60)
    return True

def slide(user_id, limit):
    key = f"window:{user_id}"
    pipe = client.pipeline()
    pipe.zremrangebyscore(key, 0, time.time() - 60)
    pipe.zcard(key)  # expect: redis/check-then-act
    _, count = pipe.execute()
    if count >= limit:
        return False
    client.zadd(key, {str(time.time()): time.time()})
    return True

def buy(item):
    stock = int(client.hget("stock", item))  # expect: redis/check-then-act
    if stock > 0:
        client.hincrby("stock", item, -1)
        ship(item)

def tally(service):
    key = f"daily:{service}"
    if client.get(key) is None:  # expect: redis/check-then-act
        client.set(key, 1, ex=86400)
    else:
        client.incr(key)

def raise_to(key, seen):
    if int(client.get(key) or 0) < seen:  # expect: redis/check-then-act
        client.set(key, seen)

def add_to_cart(user_id, item):
    cart = json.loads(client.get(f"cart:{user_id}") or "[]")  # expect: redis/check-then-act
    cart.append(item)
    client.set(f"cart:{user_id}", json.dumps(cart), ex=3600)

def renew(lease_id, expiration):
    lease = Lease.decoded(client.get(f"lease:{lease_id}"))  # expect: redis/check-then-act
    lease.expiration = expiration
    client.set(f"lease:{lease_id}", lease.encoded())

def begin_window(user_id):
    client.set(f"calls:{user_id}", 0, ex=60)

def call_again(user_id):
    if not client.exists(f"calls:{user_id}"):  # expect: redis/check-then-act
        raise KeyError(user_id)
    client.incr(f"calls:{user_id}")

def free_seat():
    for seat in range(1, 500):
        if not client.exists(f"seat:{seat}"):  # expect: redis/check-then-act
            return seat

def free_name(name):
    number = 1
    while client.exists(f"name:{name}{number}"):  # expect: redis/check-then-act
        number += 1
    return f"{name}{number}"

def sit_down(seat, name, user_id):
    client.hset(f"seat:{seat}", "user", user_id)
    client.set(f"name:{name}", user_id)
""",
    """
import json
import time
import redis

class RetryQueue:
    def __init__(self, url):
        self.redis = redis.Redis.from_url(url)
        self.queue_key = "payments:retry"

    def process_retries(self):
        due = self.redis.zrangebyscore(self.queue_key, 0, time.time())
        for raw in due:
            payment = json.loads(raw)
            try:
                if self.charge(payment):
                    self.redis.zrem(self.queue_key, raw)  # expect: redis/check-then-act
                else:
                    self.reschedule(payment)
            except Exception:
                self.redis.zrem(self.queue_key, raw)

    def pop_all(self):
        rows = self.redis.lrange("buffer", 0, -1)
        self.redis.delete("buffer")  # expect: redis/check-then-act
        return [json.loads(row) for row in rows]
""",
    """
import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from redis import Redis

QUEUE = "payments:retry"

class Retries:
    def __init__(self, client: Redis):
        self._redis = client

    def process_retries(self):
        due = self._redis.zrangebyscore(QUEUE, "-inf", time.time())  # expect: redis/check-then-act
        return sum(self._process(str(item)) for item in due)

    def process_in_threads(self, pool: ThreadPoolExecutor):
        due = self._redis.zrangebyscore(QUEUE, "-inf", time.time())  # expect: redis/check-then-act
        pool.map(self._process, due)

    def process_later(self, pool: ThreadPoolExecutor):
        for item in self._due():  # expect: redis/check-then-act
            pool.submit(self._process, item)

    def _due(self):
        return self._redis.zrangebyscore(QUEUE, "-inf", time.time())

    def _process(self, item):
        try:
            self._charge(item)
        except TimeoutError:
            return False
        self._finish(item)
        return True

    def _finish(self, item):
        self._redis.zrem(QUEUE, item)

async def drain(redis: Redis):
    async def deliver(message):
        await send(message)
        await redis.srem("outbox", message)

    await asyncio.gather(*(deliver(message) for message in await redis.smembers("outbox")))  # expect: redis/check-then-act
""",
    """
from django.core.cache import cache
from redis.asyncio import Redis

async def release(redis: Redis, name, token):
    if await redis.get(name) == token:  # expect: redis/check-then-act
        await redis.delete(name)

async def confirm(redis: Redis, phone, code):
    sent = await redis.get(f"otp:{phone}")  # expect: redis/check-then-act
    if sent is None or sent.decode() != code:
        raise ValueError("wrong code")
    await redis.delete(f"otp:{phone}")

def send_reminder(user):
    if cache.get(f"reminded:{user.pk}"):  # expect: redis/check-then-act
        return
    cache.set(f"reminded:{user.pk}", True, 3600)
    user.email_user("Reminder", "Please pay.")
""",
    """
class TaskLock:
    def __enter__(self):
        if self.redis_storage.peek(self.key) is not None:  # expect-later: redis/check-then-act
            raise RuntimeError(self.key)
        self.redis_storage.put(self.key, "1")
""",
)

GOOD = (
    """
import json
import redis

r = redis.Redis()

def price(item):
    key = f"price:{item}"
    cached = r.get(key)
    if cached is not None:
        return json.loads(cached)
    value = compute(item)
    r.set(key, json.dumps(value), ex=300)
    return value

def rate(currency):
    cached = r.get(f"rate:{currency}")
    if cached:
        rate = Rate.decoded(cached)
        if rate.is_fresh:
            return rate
    rate = fetch_rate(currency)
    r.set(f"rate:{currency}", rate.encoded())
    return rate

def last_seen(user):
    key = f"seen:{user}"
    known = r.get(key)
    if known is not None:
        return known.decode() or None
    found = ask(user)
    if found is None:
        r.set(key, "", ex=60)
        return None
    r.set(key, found, ex=300)
    return found

def forget(item):
    if r.exists(f"price:{item}"):
        r.delete(f"price:{item}")
""",
    """
import time
import redis

r = redis.Redis()

def run_once(job_id, job):
    if not r.set(f"lock:{job_id}", time.time(), nx=True, ex=60):
        return
    job()

def allow(user_id, limit):
    count = r.incr(f"rate:{user_id}")
    if count == 1:
        r.expire(f"rate:{user_id}", 60)
    return count <= limit

def buy(item):
    if int(r.get(f"stock:{item}") or 0) <= 0:
        return False
    if r.decr(f"stock:{item}") < 0:
        r.incr(f"stock:{item}")
        return False
    return True
""",
    """
import time
import redis

r = redis.Redis()

def work(process):
    for item in r.zrangebyscore("due", 0, time.time()):
        if r.zrem("due", item):
            process(item)

class Retries:
    def process(self):
        return sum(self._process(item) for item in r.zrangebyscore("due", 0, time.time()))

    def _process(self, item):
        if not r.zrem("due", item):
            return False
        charge(item)
        r.zrem("due", item)
        return True

def close_group(group):
    for member in r.smembers(f"group:{group}"):
        remove_member(group, member)

def remove_member(group, member):
    revoke_rights(group, member)
    r.srem(f"group:{group}", member)

def jobs():
    return compact([fetch(job_id) for job_id in r.lrange("jobs", 0, -1)])

def fetch(job_id):
    try:
        return Job.load(job_id)
    except KeyError:
        r.lrem("jobs", 1, job_id)

""",
    """
import time
import redis

r = redis.Redis()

def healthy(hosts):
    for host in hosts:
        if not r.exists(f"down:{host}"):
            return host

def mark_down(host):
    r.set(f"down:{host}", 1, ex=30)

def report_day(year):
    for day in range(1, 366):
        if not r.exists(f"report:{year}:{day}"):
            return day

def take_day(year, day):
    return r.set(f"report:{year}:{day}", 1, nx=True)

def rebuild(user):
    if r.get(f"built:{user}"):
        return
    r.set(f"built:{user}", time.time(), ex=60)
    lock = UserLock(user)
    if lock.acquire(blocking=False):
        build_tree(user)

def drop(group):
    members = r.smembers(group)
    for member in members:
        r.delete(f"member:{member}")
    r.delete(group)
    return len(members)

def sweep():
    for worker in r.smembers("workers"):
        if not r.exists(f"worker:{worker}"):
            r.srem("workers", worker)

def slide(key, limit):
    pipe = r.pipeline()
    pipe.zremrangebyscore(key, 0, time.time() - 60)
    pipe.zadd(key, {str(time.time()): time.time()})
    pipe.zcard(key)
    return pipe.execute()[-1] <= limit
""",
    """
import json
import redis

r = redis.Redis()

def add_to_cart(user_id, item):
    with r.lock(f"cart-lock:{user_id}", timeout=5):
        cart = json.loads(r.get(f"cart:{user_id}") or "[]")
        cart.append(item)
        r.set(f"cart:{user_id}", json.dumps(cart))

def add_to_list(user_id, item):
    with r.pipeline() as pipe:
        while True:
            try:
                pipe.watch(f"list:{user_id}")
                found = json.loads(pipe.get(f"list:{user_id}") or "[]")
                found.append(item)
                pipe.multi()
                pipe.set(f"list:{user_id}", json.dumps(found))
                pipe.execute()
                return
            except redis.WatchError:
                continue

def work_alone():
    with r.lock("work", timeout=60):
        return [_work(item) for item in r.lrange("todo", 0, -1)]

def work_one(item):
    _work(item)

def _work(item):
    perform(item)
    r.lrem("todo", 1, item)

def reserve(order_id):
    if not r.set(f"busy:{order_id}", "1", nx=True, ex=30):
        return
    if r.get(f"state:{order_id}") is None:
        r.set(f"state:{order_id}", "started")
        start(order_id)
""",
    """
import redis
from django.core.cache import cache

def plugins():
    failed = cache.get("catalog-failed")
    if not failed:
        found = fetch_catalog()
        if not found:
            cache.set("catalog-failed", True, 300)
        return found

def refresh(session_id):
    settings = {"redis": 1}
    if settings.get("redis"):
        settings.update(redis=2)

def too_many(client: redis.Redis, user):
    if client.get(f"blocked:{user}"):
        return True
    failures = client.incr(f"failures:{user}")
    if failures >= 5:
        client.set(f"blocked:{user}", 1, ex=900)
    return False
""",
)
