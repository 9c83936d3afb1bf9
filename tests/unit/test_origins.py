"""Where a value comes from, and how far it tells two operations apart."""

from __future__ import annotations

import ast
import math

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from interlock.source.module import Module
from interlock.source.origin import Kind, Origin, Part, strftime_resolution_s

IMPORTS = """
import base64, hashlib, os, random, secrets, string, time, uuid
from datetime import date, datetime, timedelta, timezone
from functools import cache, cached_property
from uuid import uuid4
"""

CONSTANT, CLOCK, RANDOM, CALLER = Kind.CONSTANT, Kind.CLOCK, Kind.RANDOM, Kind.CALLER
REQUEST, STORED, UNKNOWN = Kind.REQUEST, Kind.STORED, Kind.UNKNOWN


def origin_of(text: str) -> Origin:
    """The origin of what an example assigns to `key`, or to `self.key`, last."""
    module = Module("shop/example.py", IMPORTS + text)
    found = [
        node.value
        for node in module.nodes(ast.Assign)
        if ast.unparse(node.targets[0]) in {"key", "self.key"} and node.end_lineno is not None
    ]
    return module.origins.of(found[-1])


def made(expression: str) -> Origin:
    """The origin of an expression in a small function."""
    return origin_of(f"def f(user, order, text, n):\n    key = {expression}\n    return key\n")


def only(origin: Origin, kind: Kind) -> Part:
    """The one part of a kind."""
    (part,) = origin.of(kind)
    return part


def kinds(origin: Origin) -> set[Kind]:
    """The kinds of all parts."""
    return {part.kind for part in origin.parts}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'fixed'", {CONSTANT}),
        ("7", {CONSTANT}),
        ("user", {CALLER}),
        ("user.id", {CALLER}),
        ("order['id']", {CALLER}),
        ("order.get('id')", {CALLER}),
        ("f'{user.id}:{time.time()}'", {CONSTANT, CALLER, CLOCK}),
        ("'%s-%s' % (user, uuid4())", {CONSTANT, CALLER, RANDOM}),
        ("'{}-{}'.format(user, uuid4())", {CONSTANT, CALLER, RANDOM}),
        ("'-'.join([user, str(uuid4())])", {CONSTANT, CALLER, RANDOM}),
        ("user + str(time.time())", {CALLER, CLOCK}),
        ("hashlib.sha256(user.encode()).hexdigest()", {CALLER}),
        ("hashlib.sha256(f'{user}{time.time()}'.encode()).hexdigest()[:16]", {CALLER, CLOCK}),
        ("str(uuid.uuid5(uuid.NAMESPACE_URL, user))", {CALLER}),
        ("base64.b64encode(os.urandom(9)).decode()", {RANDOM}),
        ("fetch(user)", {UNKNOWN}),
        ("elsewhere", {UNKNOWN}),
        ("user if n else uuid4()", {CALLER, RANDOM}),
        ("user or uuid4()", {CALLER, RANDOM}),
        ("(x := uuid4())", {RANDOM}),
        ("[part for part in text.split(',')]", {CALLER}),
        ("{'user': user, 'at': time.time()}", {CALLER, CLOCK}),
        ("int(time.time())", {CLOCK}),
        ("lambda: user", {UNKNOWN}),
    ],
)
def test_a_value_is_the_mix_of_what_it_is_made_of(expression: str, expected: set[Kind]) -> None:
    assert kinds(made(expression)) == expected


@pytest.mark.parametrize(
    ("expression", "resolution_s"),
    [
        ("time.time()", 1e-6),
        ("time.time_ns()", 1e-9),
        ("int(time.time())", 1.0),
        ("round(time.time())", 1.0),
        ("round(time.time(), 3)", 1e-3),
        ("int(time.time() * 1000)", 1e-3),
        pytest.param("int(1000 * time.time())", 1e-3),
        ("int(time.time() * 1e6)", 1e-6),
        ("time.time() // 60", 60.0),
        ("int(time.time()) // 60", 60.0),
        ("int(time.time() / 300)", 300.0),
        ("time.time_ns() // 1_000_000", 1e-3),
        ("f'{time.time():.0f}'", 1.0),
        ("f'{time.time():.3f}'", 1e-3),
        ("datetime.now()", 1e-6),
        ("datetime.now().isoformat()", 1e-6),
        ("datetime.now().isoformat(timespec='seconds')", 1.0),
        ("datetime.now(timezone.utc).isoformat(timespec='milliseconds')", 1e-3),
        ("datetime.now().replace(microsecond=0)", 1.0),
        ("datetime.now().replace(microsecond=0).isoformat()", 1.0),
        ("datetime.now().strftime('%Y%m%d%H%M%S')", 1.0),
        ("datetime.now().strftime('%Y%m%d%H%M%S%f')", 1e-6),
        ("datetime.now().strftime('%Y-%m-%d %H:%M')", 60.0),
        ("datetime.now().strftime('%Y%m%d')", 86400.0),
        ("f'{datetime.now():%Y%m%d%H}'", 3600.0),
        ("f'{datetime.now():%H%M%S%f}'", 1e-6),
        ("time.strftime('%Y%m%d%H%M%S')", 1.0),
        ("datetime.utcnow().timestamp()", 1e-6),
        ("int(datetime.now().timestamp())", 1.0),
        ("int(datetime.now().timestamp() * 1000)", 1e-3),
        ("str(int(time.time()))[-6:]", 1.0),
        ("date.today()", 86400.0),
        ("datetime.now().date().isoformat()", 86400.0),
        ("datetime.now().second", 1.0),
        ("datetime.now().minute", 60.0),
        ("hashlib.md5(str(int(time.time())).encode()).hexdigest()", 1.0),
    ],
)
def test_a_clock_is_known_by_its_resolution(expression: str, resolution_s: float) -> None:
    assert only(made(expression), CLOCK).resolution_s == pytest.approx(resolution_s)


@pytest.mark.parametrize(
    ("expression", "bits"),
    [
        ("uuid4()", 122),
        ("str(uuid.uuid4())", 122),
        ("uuid4().hex", 122),
        ("uuid4().hex[:8]", 32),
        ("uuid4().hex[:8].upper()", 32),
        ("str(uuid4())[:8]", 32),
        ("str(uuid4()).split('-')[0]", 32),
        ("str(uuid4()).split('-')[-1]", 48),
        ("str(uuid4()).split('-')[1]", 16),
        ("uuid4().hex[-12:]", 48),
        ("uuid4().hex[4:10]", 24),
        ("uuid4().hex[-10:-4]", 24),
        ("uuid4().hex[:64]", 122),
        ("uuid4().int % 10**6", 6 * math.log2(10)),
        ("uuid4().int % 1_000_000", 6 * math.log2(10)),
        ("uuid4().int % 2**16", 16),
        ("str(uuid4().int)[:6]", 6 * math.log2(10)),
        ("uuid4().time_low", 32),
        ("secrets.token_hex(4)", 32),
        ("secrets.token_hex()", 256),
        ("secrets.token_hex(nbytes=8)", 64),
        ("secrets.token_urlsafe(6)", 48),
        ("secrets.token_hex(16)[:6]", 24),
        ("os.urandom(4).hex()", 32),
        ("os.urandom(16).hex()[:4]", 16),
        ("random.randint(100000, 999999)", math.log2(900_000)),
        ("random.randrange(2**20)", 20),
        ("random.getrandbits(24)", 24),
        ("secrets.randbelow(1000)", math.log2(1000)),
        ("random.choice('abcd')", 2),
        ("''.join(random.choices(string.digits, k=6))", 6 * math.log2(10)),
        ("''.join(random.choice(string.ascii_uppercase + string.digits) for _ in range(8))", 8 * math.log2(36)),
        ("''.join(random.sample(string.hexdigits, 4))", 4 * math.log2(22)),
        ("base64.urlsafe_b64encode(uuid4().bytes)[:8]", 48),
        ("hashlib.sha256(uuid4().bytes).hexdigest()[:10]", 40),
        ("f'ORD-{uuid4().hex[:8]}'", 32),
        ("'ORD-' + uuid4().hex[:8]", 32),
    ],
)
def test_randomness_is_known_by_its_bits(expression: str, bits: float) -> None:
    assert only(made(expression), RANDOM).bits == pytest.approx(bits)


@pytest.mark.parametrize(
    "expression", ["uuid4().hex[:n]", "random.choice(text)", "secrets.token_hex(n)", "''.join(random.choices(text, k=n))"]
)
def test_bits_that_cannot_be_told_are_not_made_up(expression: str) -> None:
    part = only(made(expression), RANDOM)
    assert part.bits is None or part.bits == 122


FOLLOWED = {
    "a name": ("def f(user):\n    x = user.id\n    y = f'{x}'\n    key = y\n", {CONSTANT, CALLER} - {CONSTANT}),
    "a helper": ("def stamp():\n    return int(time.time())\ndef f():\n    key = stamp()\n", {CLOCK}),
    "a helper's argument": ("def spell(x):\n    return f'{x}'\ndef f(user):\n    key = spell(user.id)\n", {CALLER}),
    "a helper's keyword": ("def spell(x, y):\n    return y\ndef f(user):\n    key = spell(y=uuid4(), x=user)\n", {RANDOM}),
    "a helper's other argument": ("def spell(x, y):\n    return x\ndef f(user):\n    key = spell('a', user)\n", {CONSTANT}),
    "a method": (
        "class A:\n    def make(self):\n        return uuid4()\n    def f(self):\n        key = self.make()\n",
        {RANDOM},
    ),
    "a base's method": (
        "class B:\n    def make(self):\n        return uuid4()\nclass A(B):\n    def f(self):\n        key = self.make()\n",
        {RANDOM},
    ),
    "a static method": (
        "class A:\n    @staticmethod\n    def make(x):\n        return x\n    def f(self, user):\n        key = A.make(user)\n",
        {CALLER},
    ),
    "an attribute set before": (
        "class A:\n    def __init__(self):\n        self.x = uuid4()\n    def f(self):\n        key = self.x\n",
        {STORED},
    ),
    "an attribute set here": ("class A:\n    def f(self):\n        self.x = uuid4()\n        key = self.x\n", {RANDOM}),
    "an attribute that a caller gave": (
        "class A:\n    def __init__(self, user):\n        self.x = user\n    def f(self):\n        key = self.x\n",
        {CALLER},
    ),
    "an attribute nobody sets": ("class A:\n    def f(self):\n        key = self.x\n", {STORED}),
    "a class attribute": ("class A:\n    prefix = 'a'\n    def f(self):\n        key = self.prefix\n", {CONSTANT}),
    "a property": (
        "class A:\n    @property\n    def x(self):\n        return int(time.time())\n    def f(self):\n        key = self.x\n",
        {CLOCK},
    ),
    "a cached property": (
        "class A:\n    @cached_property\n    def x(self):\n        return uuid4()\n    def f(self):\n        key = self.x\n",
        {STORED},
    ),
    "a cached helper": ("@cache\ndef make():\n    return uuid4()\ndef f():\n    key = make()\n", {STORED}),
    "a request": ("def f(request):\n    key = request.headers['Idempotency-Key']\n", {REQUEST}),
    "a request of the framework": (
        "from flask import request\ndef f():\n    key = request.headers.get('Idempotency-Key')\n",
        {REQUEST},
    ),
    "a loop's variable": ("def f(orders):\n    for order in orders:\n        key = order.id\n", {CALLER}),
    "a pair's variable": ("def f(orders):\n    for name, order in orders.items():\n        key = order\n", {CALLER}),
    "a context": ("def f(user):\n    with lock(user) as x:\n        key = x\n", {UNKNOWN}),
    "two branches": (
        "def f(user):\n    if user:\n        x = user.id\n    else:\n        x = uuid4()\n    key = x\n",
        {CALLER, RANDOM},
    ),
}


@pytest.mark.parametrize("what", FOLLOWED)
def test_values_are_followed_through(what: str) -> None:
    text, expected = FOLLOWED[what]
    assert kinds(origin_of(text)) == expected


@pytest.mark.parametrize("expression", ["user or uuid4()", "user if n else uuid4()", "user.id if user else str(uuid4())"])
def test_what_is_made_only_where_nothing_was_given_is_sometimes(expression: str) -> None:
    assert only(made(expression), RANDOM).sometimes
    assert not made(expression).always(RANDOM)


@pytest.mark.parametrize("expression", ["uuid4() if n else secrets.token_hex(4)", "f'{user}{uuid4()}'", "(user, uuid4())"])
def test_what_is_made_on_every_way_is_always(expression: str) -> None:
    assert made(expression).always(RANDOM)


def test_a_helper_s_value_is_made_where_the_helper_is_called() -> None:
    module = Module("shop/example.py", IMPORTS + "def stamp():\n    return int(time.time())\ndef f():\n    key = stamp()\n")
    (call,) = [node for node in module.nodes(ast.Call) if ast.unparse(node) == "stamp()"]
    part = only(module.origins.of(call), CLOCK)
    assert part.site is call
    assert part.maker is not None
    assert ast.unparse(part.maker) == "time.time()"


@pytest.mark.parametrize(
    ("pattern", "resolution_s"),
    [
        ("%Y", 30 * 86400.0),
        ("%Y%m%d", 86400.0),
        ("%-H", 3600.0),
        ("%H%M", 60.0),
        ("%s", 1.0),
        ("%c", 1.0),
        ("%f%Y", 1e-6),
        ("%%", None),
        ("", None),
    ],
)
def test_the_finest_directive_tells(pattern: str, resolution_s: float | None) -> None:
    assert strftime_resolution_s(pattern) == resolution_s


LEAVES = st.sampled_from(
    [
        "user",
        "n",
        "order.id",
        "'a'",
        "7",
        "0",
        "-1",
        "10**6",
        "time.time()",
        "datetime.now()",
        "uuid4()",
        "self.x",
        "elsewhere",
        "request",
        "key",
        "make(user)",
        "make(key)",
    ]
)


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Larger expressions from smaller ones; most of them senseless, all of them Python."""
    binary = st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "<<", "or", "and", "==", "if x else"])
    wrapped = st.sampled_from(
        [
            "int({0})",
            "str({0})",
            "round({0}, {1})",
            "f'{{{0}}}'",
            "f'{{{0}:.3f}}'",
            "f'{{{0}:{{{1}}}}}'",
            "({0}).hex",
            "({0}).hex()[{1}:]",
            "({0})[:{1}]",
            "({0})[{1}]",
            "({0}).split('-')[{1}]",
            "({0}).strftime('%Y%q%')",
            "({0}).isoformat(timespec={1})",
            "({0}).time_low",
            "({0}).second",
            "({0}).join({1})",
            "make({0}, *{1})",
            "make(**{0})",
            "secrets.token_hex({0})",
            "random.randint({0}, {1})",
            "random.choices({0}, k={1})",
            "hashlib.sha256({0}).hexdigest()",
            "[{0} for user in range({1})]",
            "[{0}, *{1}]",
            "{{{0}: {1}}}",
            "(lambda user: {0})({1})",
            "(x := {0})",
            "not {0}",
            "-({0})",
        ]
    )
    return st.builds(lambda left, sign, right: f"(({left}) {sign} ({right}))", inner, binary, inner) | st.builds(
        lambda form, first, second: form.format(first, second), wrapped, inner, inner
    )


@settings(max_examples=400)
@given(st.recursive(LEAVES, grown, max_leaves=12))
def test_any_expression_has_an_origin(expression: str) -> None:
    """However senseless: following ends, raises nothing, and makes no figure that is none."""
    note(expression)
    text = (
        "def make(x, *y):\n    z = make(x)\n    return z if x else y\n"
        "class A:\n    def __init__(self, user):\n        self.x = user\n"
        f"    def f(self, user, n, order):\n        key = user\n        key = {expression}\n        self.x = key\n"
    )
    try:
        ast.parse(text)
    except SyntaxError:
        return
    for part in origin_of(text).parts:
        assert part.resolution_s >= 0
        assert part.bits is None or part.bits >= 0
        assert not math.isnan(part.resolution_s)
