"""Subjects with one guard taken out: by hand, or by a hazard's own injector. Each names the scenario that must show it.

A mutant is text: it is written into a folder as a module of its own, and imported from there as a user's module would be.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.hazards.catalogue import named
from interlock.prove.loading import apart
from interlock.source.module import Module

if TYPE_CHECKING:
    from interlock.prove.contract import Contract

SUBJECTS = Path(__file__).parent / "subjects"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A subject with one guard less.

    Attributes:
        name: What is wrong with it.
        subject: Whose text it is made of.
        scenario: Which one shows it.
        changes: What is replaced by what.
        hazard: Whose injector plants it, at the n-th place, if it is not made by hand.
    """

    name: str
    subject: str
    scenario: str
    changes: tuple[tuple[str, str], ...] = ()
    hazard: str = ""
    place: int = 0

    @property
    def module(self) -> str:
        """What it is imported as."""
        return f"{self.subject}__{''.join(letter if letter.isalnum() else '_' for letter in self.name)}"

    @property
    def text(self) -> str:
        """Its source."""
        text = (SUBJECTS / f"{self.subject}.py").read_text(encoding="utf-8")
        if self.hazard:
            module = Module(f"{self.subject}.py", text)
            planted = [mutant for inject in named(self.hazard).injectors for mutant in inject(module)]
            return planted[self.place].text
        for old, new in self.changes:
            assert text.count(old) == 1, f"{self.name}: {text.count(old)} times in {self.subject}: {old!r}"
            text = text.replace(old, new)
        return text

    def contract(self, folder: Path) -> Contract:
        """The contract that it breaks, in the scenario that shows it; its module is written into a folder."""
        for one in (str(SUBJECTS), str(folder)):
            if one not in sys.path:
                sys.path.insert(0, one)
        (folder / f"{self.module}.py").write_text(self.text, encoding="utf-8")
        importlib.invalidate_caches()
        sys.modules.pop(self.module, None)
        adapters = importlib.import_module("adapters")
        found = [
            one for one in apart(adapters.of(self.module, self.subject)) if one.scenario and one.scenario.name == self.scenario
        ]
        assert len(found) == 1, f"{self.name}: no scenario {self.scenario!r}"
        return found[0]


TWO_IN_A_SECOND = "two payments of one user in one second"
TWICE = "the same payment twice"
TWO_WORKERS = "two workers on one item"
BEFORE = "crash before the charge"
AFTER = "crash after the charge"
ACKNOWLEDGED = "crash after the acknowledgement"
LOST = "lost reply on enqueue and on charge"
COUNT = "retry count kept and limit reached"
SKEW = "clock skew and a lease that expires mid-charge"
POISON = "poison item"
RESTART = "Redis restart"
TTL = "TTL against the retry horizon"

_HEADERS = 'headers={"Idempotency-Key": key}'

MUTANTS = (
    # The keys that the provider sees.
    Mutant("key from the clock", "lua_queue", RESTART, hazard="identity/coarse-clock"),
    Mutant("key anew at each call", "lua_queue", AFTER, hazard="identity/random-per-attempt"),
    Mutant("key from the clock", "plain_queue", SKEW, hazard="identity/coarse-clock"),
    Mutant("key anew at each call", "plain_queue", SKEW, hazard="identity/random-per-attempt"),
    Mutant("key anew at each call", "lock_queue", AFTER, hazard="identity/random-per-attempt"),
    Mutant("no key", "lock_queue", AFTER, ((_HEADERS, "headers={}"),)),
    Mutant("key of the attempt", "lua_queue", AFTER, (('f"{key}:{generation}"', 'f"{key}:{attempt}"'),)),
    Mutant(
        "no answer taken for a decline",
        "lua_queue",
        LOST,
        (
            (
                '    except requests.RequestException:\n        return "unknown"',
                '    except requests.RequestException:\n        return "declined"',
            ),
        ),
    ),
    Mutant("an error taken for a charge", "lua_queue", POISON, (('{200: "paid", 402', '{200: "paid", 500: "paid", 402'),)),
    Mutant(
        "an error ends the round",
        "lock_queue",
        POISON,
        (
            ("    return {200", "    if answer.status_code >= 500:\n        sys.exit(1)\n    return {200"),
            ("import time\n", "import sys\nimport time\n"),
            ('sorted(self.redis.smembers("open"))', 'sorted(self.redis.smembers("open"))[:1]'),
        ),
    ),
    # Who is the same payment.
    Mutant(
        "named by user and amount",
        "lua_queue",
        TWO_IN_A_SECOND,
        (
            (
                'return str(self.redis.eval(ENQUEUE, 2, "due", f"job:{key}"',
                'return str(self.redis.eval(ENQUEUE, 2, "due", "job:" + json.dumps(fields)',
            ),
        ),
    ),
    Mutant(
        "a minute in which a user pays once",
        "plain_queue",
        TWO_IN_A_SECOND,
        (
            (
                '        record = {"fields"',
                '        if not self.redis.set(f"seen:{fields[\'user\']}:{int(time.time())}", 1, nx=True, ex=60):\n            return\n        record = {"fields"',
            ),
        ),
    ),
    Mutant(
        "a repetition begins anew",
        "lock_queue",
        TWICE,
        (
            ("if redis.call('HSETNX', KEYS[1], 'attempt', 0) == 1 then", "if redis.call('HSET', KEYS[1], 'attempt', 0) then"),
            ("f\"{key}:{job['generation']}\"", "f\"{key}:{job['due']}\""),
        ),
    ),
    Mutant("forgotten after an hour", "lua_queue", TTL, (("KNOWN_FOR_S = 7 * 24 * 60 * 60", "KNOWN_FOR_S = 60 * 60"),)),
    Mutant(
        "gone before its last attempt",
        "lua_queue",
        COUNT,
        (
            (
                "redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])\n",
                "redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])\nredis.call('EXPIRE', KEYS[2], 90)\n",
            ),
        ),
    ),
    # Who works on it.
    Mutant(
        "looks, then takes",
        "plain_queue",
        TWO_WORKERS,
        (('            pipe.watch(f"job:{key}", "due")\n', '            pipe.watch("nothing")\n'),),
    ),
    Mutant("no lock", "lock_queue", COUNT, (("nx=True, px", "px"),)),
    Mutant("not looked at again under the lock", "lock_queue", COUNT, ((' or float(job["due"]) > time.time()', ""),)),
    Mutant("a lock for ever", "lock_queue", BEFORE, hazard="redis/no-expiry"),
    Mutant(
        "taken out while it is charged",
        "lua_queue",
        BEFORE,
        (("redis.call('ZADD', KEYS[1], ARGV[2] + ARGV[3], ARGV[1])", "redis.call('ZREM', KEYS[1], ARGV[1])"),),
    ),
    Mutant(
        "acknowledged before it is charged",
        "lua_queue",
        ACKNOWLEDGED,
        (("        outcome = charge(", '        self.redis.zrem("due", key)\n        outcome = charge('),),
    ),
    Mutant(
        "moved to the dead letters in two steps",
        "lua_queue",
        ACKNOWLEDGED,
        (
            ("redis.call('SADD', state == 'dead' and KEYS[4] or KEYS[3], ARGV[1])\n", ""),
            ("        self.redis.eval(SETTLE, 4,", "        state = self.redis.eval(SETTLE, 4,"),
            (
                "next_s, ATTEMPTS, KNOWN_FOR_S)\n",
                "next_s, ATTEMPTS, KNOWN_FOR_S)\n        if state in {'dead', 'unsure'}:\n            self.redis.sadd(state, key)\n",
            ),
        ),
    ),
    Mutant(
        "stored in two steps",
        "plain_queue",
        LOST,
        (
            (
                '        with self.redis.pipeline(transaction=True) as pipe:\n            pipe.set(f"job:{key}", json.dumps(record), nx=True)\n            pipe.zadd("due", {key: time.time()}, nx=True)  # One too many is seen by whoever claims it.\n            pipe.execute()\n',
                '        if self.redis.set(f"job:{key}", json.dumps(record), nx=True):\n            self.redis.zadd("due", {key: time.time()}, nx=True)\n',
            ),
        ),
    ),
    # How often.
    Mutant(
        "attempts are not stored",
        "lock_queue",
        COUNT,
        (('self.redis.hincrby(f"job:{key}", "attempt", 1)', 'int(job["attempt"]) + 1'),),
    ),
    Mutant("always the shortest delay", "lua_queue", COUNT, (("DELAYS_S[min(attempt, len(DELAYS_S)) - 1]", "DELAYS_S[0]"),)),
    Mutant(
        "one attempt more",
        "plain_queue",
        COUNT,
        (("ATTEMPTS = 3", "ATTEMPTS = 4"), ("DELAYS_S = (60, 120)", "DELAYS_S = (60, 120, 120)")),
    ),
    Mutant("given up too soon", "lua_queue", COUNT, (("ATTEMPTS = 3", "ATTEMPTS = 2"),)),
    Mutant(
        "thrown away at the limit",
        "lua_queue",
        COUNT,
        (("redis.call('SADD', state == 'dead' and KEYS[4] or KEYS[3], ARGV[1])\n", ""),),
    ),
    # With a stream.
    Mutant(
        "acknowledged when it begins",
        "stream_queue",
        BEFORE,
        (
            (
                "attempt = redis.call('HINCRBY'",
                "redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])\nredis.call('XDEL', KEYS[1], ARGV[3])\nattempt = redis.call('HINCRBY'",
            ),
        ),
    ),
    Mutant(
        "what a dead consumer holds stays with it",
        "stream_queue",
        ACKNOWLEDGED,
        (
            ("        _, left_behind, _ = self.redis.xautoclaim(STREAM, GROUP, self.name, LEASE_S * 1000)\n", ""),
            (
                "[*left_behind, *(entry for _, entries in news for entry in entries)]",
                "[entry for _, es in news for entry in es]",
            ),
        ),
    ),
    # With an outbox.
    Mutant("takes what another one has taken", "outbox_queue", COUNT, ((" FOR UPDATE SKIP LOCKED", ""),)),
    Mutant(
        "the order first, then the outbox",
        "outbox_queue",
        LOST,
        (("        with self.connection.transaction():\n            order =", "        if True:\n            order ="),),
    ),
    Mutant("a lease of no time", "outbox_queue", COUNT, (("(time.time() + LEASE_S, found[0])", "(time.time(), found[0])"),)),
    # Sign-ups.
    Mutant(
        "one id for everybody",
        "sign_up",
        "two sign-ups in quick succession",
        (
            ("user_id = f\"user-{self.redis.incr('users:last')}\"", "user_id = NEW_ID"),
            ("import redis\n", 'import redis\n\nNEW_ID = "user-1"\n'),
            ('if not self.redis.hsetnx("users", user_id, name):', 'if self.redis.hset("users", user_id, name) > 1:'),
        ),
    ),
    Mutant(
        "an id from the clock",
        "sign_up",
        "two sign-ups in quick succession",
        (("{self.redis.incr('users:last')}", "{int(time.time())}"), ("import redis\n", "import time\n\nimport redis\n")),
    ),
    Mutant(
        "counts, then adds",
        "sign_up",
        "two sign-ups at once",
        (("{self.redis.incr('users:last')}", "{self.redis.hlen('users') + 1}"),),
    ),
    Mutant(
        "a name inside of a script",
        "sign_up",
        "a name with a quote in it",
        (
            (
                'self.redis.hsetnx("users", user_id, name)',
                "self.redis.eval(f\"return redis.call('HSETNX', 'users', '{user_id}', '{name}')\", 0)",
            ),
        ),
    ),
    Mutant(
        "told before it is stored",
        "sign_up",
        "lost reply on a sign-up",
        (
            (
                '        if not self.redis.hsetnx("users", user_id, name):\n            message = f"{user_id} is taken"\n            raise ValueError(message)\n',
                '        try:\n            self.redis.hsetnx("users", user_id, name)\n        except redis.ConnectionError:\n            pass\n',
            ),
        ),
    ),
    Mutant(
        "a turn that never ends",
        "sign_up",
        "crash during a sign-up",
        (
            (
                "        user_id = f",
                "        for _ in range(20):\n            if self.redis.set('turn', 1, nx=True):\n                break\n            time.sleep(1)\n        else:\n            raise TimeoutError(name)\n        user_id = f",
            ),
            ("        return user_id\n", "        self.redis.delete('turn')\n        return user_id\n"),
            ("import redis\n", "import time\n\nimport redis\n"),
        ),
    ),
    # Ledgers.
    Mutant(
        "another name for each attempt",
        "ledger",
        "lost reply on a transfer",
        (
            ('"booked", key, source', '"booked", f"{key}:{uuid.uuid4()}", source'),
            ("import redis\n", "import uuid\n\nimport redis\n"),
        ),
    ),
    Mutant(
        "reads, then writes",
        "ledger",
        "two transfers at once",
        (
            (
                '        if self.redis.eval(TRANSFER, 2, "balances", "booked", key, source, target, amount) != "booked":\n            raise NotCoveredError(source)\n',
                '        if self.redis.sismember("booked", key):\n            return\n        before = self.balances()\n        if before[source] < amount:\n            raise NotCoveredError(source)\n        after = {source: before[source] - amount, target: before[target] + amount}\n        with self.redis.pipeline(transaction=True) as pipe:\n            pipe.sadd("booked", key)\n            pipe.hset("balances", mapping=after)\n            pipe.execute()\n',
            ),
        ),
    ),
    Mutant(
        "a repetition is booked again",
        "ledger",
        "the same transfer twice",
        (("if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1 then return 'booked' end\n", ""),),
    ),
    Mutant(
        "more than there is",
        "ledger",
        "two transfers of which only one is covered",
        (("if tonumber(redis.call('HGET', KEYS[1], ARGV[2])) < tonumber(ARGV[4]) then return 'not covered' end\n", ""),),
    ),
    Mutant(
        "in two steps",
        "ledger_watched",
        "crash during a transfer",
        (
            (
                '                pipe.incrby(f"balance:{target}", amount)\n                try:\n                    pipe.execute()\n',
                '                try:\n                    pipe.execute()\n                    self.redis.incrby(f"balance:{target}", amount)\n',
            ),
        ),
    ),
    Mutant(
        "does not watch",
        "ledger_watched",
        "two transfers of which only one is covered",
        (('pipe.watch(f"balance:{source}", f"transfer:{key}")', 'pipe.watch("nothing")'),),
    ),
    Mutant(
        "a conflict taken for a success",
        "ledger_watched",
        "the same transfer twice",
        (
            (
                "                except redis.WatchError:\n                    continue\n                return\n",
                "                except redis.WatchError:\n                    return\n                return\n",
            ),
            ('pipe.watch(f"balance:{source}", f"transfer:{key}")', 'pipe.watch(f"balance:{source}", f"balance:{target}")'),
            (
                'if pipe.exists(f"transfer:{key}"):\n                    return',
                'if pipe.exists(f"never:{key}"):\n                    return',
            ),
        ),
    ),
    Mutant(
        "reads, then writes",
        "ledger_postgres",
        "two transfers at once",
        (
            ("            self.connection.execute(LOCK, (source, target))\n", ""),
            (
                '            self.connection.execute("UPDATE accounts SET balance = balance + %s WHERE name = %s", (amount, target))\n',
                '            before = self.connection.execute("SELECT balance FROM accounts WHERE name = %s", (target,)).fetchone()[0]\n            self.connection.execute("UPDATE accounts SET balance = %s WHERE name = %s", (before + amount, target))\n',
            ),
        ),
    ),
    Mutant(
        "a repetition is booked again",
        "ledger_postgres",
        "the same transfer twice",
        ((" ON CONFLICT DO NOTHING", ""), ("key text PRIMARY KEY);", "key text);")),
    ),
    # Locks.
    Mutant(
        "looks, then takes",
        "lock",
        "two want one lock at once",
        (
            (
                'token: int | None = self.redis.eval(TAKE, 2, "lock", "lock:tokens", LEASE_S * 1000)\n',
                'token: int | None = None\n        if not self.redis.exists("lock"):\n            token = self.redis.incr("lock:tokens")\n            self.redis.set("lock", token, px=LEASE_S * 1000)\n',
            ),
        ),
    ),
    Mutant(
        "no lease",
        "lock",
        "the holder of a lock dies",
        (("redis.call('SET', KEYS[1], token, 'PX', ARGV[1])", "redis.call('SET', KEYS[1], token)"),),
    ),
    Mutant(
        "a lease in a second step",
        "lock",
        "the holder of a lock dies",
        (
            ("redis.call('SET', KEYS[1], token, 'PX', ARGV[1])", "redis.call('SET', KEYS[1], token)"),
            (
                "        return token\n",
                '        if token:\n            self.redis.expire("lock", LEASE_S)\n        return token\n',
            ),
        ),
    ),
    Mutant(
        "anybody releases",
        "lock",
        "a lease ends while its holder works",
        (
            (
                "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end",
                "return redis.call('DEL', KEYS[1])",
            ),
        ),
    ),
    Mutant(
        "a token that does not grow", "lock", "a lease ends while its holder works", (("redis.call('INCR', KEYS[2])", "1"),)
    ),
    Mutant(
        "anybody releases",
        "lock_postgres",
        "a lease ends while its holder works",
        ((" AND token = %s", " AND token >= %s - token"),),
    ),
    Mutant(
        "looks, then takes",
        "lock_postgres",
        "two want one lock at once",
        (
            (
                "        taken = self.connection.execute(TAKE, (time.time() + LEASE_S, time.time())).fetchone()\n",
                '        free = "SELECT token FROM locks WHERE held_until <= %s"\n        if self.connection.execute(free, (time.time(),)).fetchone() is None:\n            return None\n        taken = self.connection.execute(TAKE, (time.time() + LEASE_S, time.time() + LEASE_S)).fetchone()\n',
            ),
        ),
    ),
    # Rate limits.
    Mutant("one call too few", "token_bucket", "calls around the end of a window", (("LIMIT = 3", "LIMIT = 2"),)),
    Mutant("kept for ever", "token_bucket", "crash during a call", (("redis.call('EXPIRE', KEYS[1], ARGV[3] + 1)\n", ""),)),
    Mutant(
        "counts, then adds",
        "rate_limit",
        "more calls at once than are allowed",
        (
            (
                '        return bool(self.redis.eval(ALLOW, 1, f"calls:{caller}", time.time(), WINDOW_S, LIMIT, call))\n',
                '        self.redis.zremrangebyscore(f"calls:{caller}", "-inf", time.time() - WINDOW_S)\n        if self.redis.zcard(f"calls:{caller}") >= LIMIT:\n            return False\n        self.redis.eval(ALLOW, 1, f"calls:{caller}", time.time(), WINDOW_S, 99, call)\n        return True\n',
            ),
        ),
    ),
    Mutant(
        "windows that begin at certain times",
        "rate_limit",
        "calls around the end of a window",
        (
            (
                '        return bool(self.redis.eval(ALLOW, 1, f"calls:{caller}", time.time(), WINDOW_S, LIMIT, call))\n',
                '        window = f"calls:{caller}:{int(time.time() / WINDOW_S)}:{call[:0]}"\n        with self.redis.pipeline(transaction=True) as pipe:\n            made = pipe.incr(window).expire(window, WINDOW_S).execute()[0]\n        return bool(made <= LIMIT)\n',
            ),
        ),
    ),
    Mutant(
        "expires in a second step",
        "rate_limit",
        "crash during a call",
        (
            ("redis.call('EXPIRE', KEYS[1], ARGV[2] + 1)\n", ""),
            (
                '        return bool(self.redis.eval(ALLOW, 1, f"calls:{caller}", time.time(), WINDOW_S, LIMIT, call))\n',
                '        allowed = bool(self.redis.eval(ALLOW, 1, f"calls:{caller}", time.time(), WINDOW_S, LIMIT, call))\n        self.redis.expire(f"calls:{caller}", WINDOW_S + 1)\n        return allowed\n',
            ),
        ),
    ),
    Mutant(
        "kept for ever",
        "rate_limit",
        "calls around the end of a window",
        (("redis.call('EXPIRE', KEYS[1], ARGV[2] + 1)\n", ""),),
    ),
    Mutant("one call too few", "rate_limit", "calls around the end of a window", (("LIMIT = 3", "LIMIT = 2"),)),
    # Caches.
    Mutant(
        "keeps what was loaded before a write",
        "cache",
        "a read while a write is under way",
        (("if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end\n", ""),),
    ),
    Mutant(
        "forgets before it writes",
        "cache",
        "a read while a write is under way",
        (
            (
                '        requests.put(f"{ORIGIN}{key}", json={"value": value}, timeout=5)\n        self.redis.delete(f"value:{key}", f"loading:{key}")\n',
                '        self.redis.delete(f"value:{key}", f"loading:{key}")\n        requests.put(f"{ORIGIN}{key}", json={"value": value}, timeout=5)\n',
            ),
        ),
    ),
    Mutant("everybody loads", "cache", "many read what is not cached", (("token, nx=True, ex=LOAD_S", "token, ex=LOAD_S"),)),
    Mutant(
        "loads what was just loaded",
        "cache",
        "many read what is not cached",
        (("        if before is not None:\n            return before\n", "        del before\n"),),
    ),
    Mutant(
        "a value for ever",
        "cache",
        "a read while a write is under way",
        (("redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])", "redis.call('SET', KEYS[1], ARGV[2])"),),
    ),
    Mutant("a token for ever", "cache", "crash while a value is loaded or written", hazard="redis/no-expiry"),
)
