"""Which calls read a clock, and which make something random; with the figures that origins need.

Resolutions and bits are those of the documented return values: a `uuid4` has 122 random bits (RFC 9562, section 5.4), 32 hex
digits; `secrets.token_hex(n)` has 8 n bits; a draw from k values has log2(k).
"""

from __future__ import annotations

import ast
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from interlock.core.pattern import pattern
from interlock.source.origin import DECIMAL_BITS, Kind, Part, strftime_resolution_s

if TYPE_CHECKING:
    from interlock.source.module import Module

_HOUR_S: Final = 3600.0
_MICROSECOND: Final = (1e-6, 1.0)

# Full name -> (resolution in seconds, value of one unit in seconds).
_CLOCKS: Final = {
    "time.time": _MICROSECOND,
    "time.time_ns": (1e-9, 1e-9),
    "time.monotonic": _MICROSECOND,
    "time.monotonic_ns": (1e-9, 1e-9),
    "time.perf_counter": _MICROSECOND,
    "time.perf_counter_ns": (1e-9, 1e-9),
    "time.ctime": (1.0, 1.0),
    "time.asctime": (1.0, 1.0),
    "time.gmtime": (1.0, 1.0),
    "time.localtime": (1.0, 1.0),
    "datetime.datetime.now": _MICROSECOND,
    "datetime.datetime.utcnow": _MICROSECOND,
    "datetime.datetime.today": _MICROSECOND,
    "datetime.date.today": (24 * _HOUR_S, 24 * _HOUR_S),
    "django.utils.timezone.now": _MICROSECOND,
    "django.utils.timezone.localtime": _MICROSECOND,
    "django.utils.timezone.localdate": (24 * _HOUR_S, 24 * _HOUR_S),
    "pendulum.now": _MICROSECOND,
    "arrow.now": _MICROSECOND,
    "arrow.utcnow": _MICROSECOND,
    "pandas.Timestamp.now": _MICROSECOND,
    "frappe.utils.now": _MICROSECOND,
}

_HEX: Final = 4.0
_URLSAFE: Final = 6.0
_ALPHANUMERIC: Final = math.log2(62)

# Full name -> (bits, bits of one character of its text), for calls that always make the same amount.
_RANDOM: Final = {
    "uuid.uuid1": (74.0, _HEX),
    "uuid.uuid4": (122.0, _HEX),
    "uuid.uuid6": (74.0, _HEX),
    "uuid.uuid7": (74.0, _HEX),
    "random.random": (53.0, DECIMAL_BITS),
    "shortuuid.uuid": (122.0, math.log2(57)),
    "ulid.new": (80.0, 5.0),
    "ulid.ULID": (80.0, 5.0),
    "cuid.cuid": (60.0, math.log2(36)),
    "bson.ObjectId": (64.0, _HEX),
    "bson.objectid.ObjectId": (64.0, _HEX),
}

# Full name -> (default count, bits of one unit of the count, bits of one character of its text).
_SIZED: Final = {
    "secrets.token_hex": (32, 8.0, _HEX),
    "secrets.token_urlsafe": (32, 8.0, _URLSAFE),
    "secrets.token_bytes": (32, 8.0, 8.0),
    "secrets.randbits": (None, 1.0, DECIMAL_BITS),
    "random.getrandbits": (None, 1.0, DECIMAL_BITS),
    "random.randbytes": (None, 8.0, 8.0),
    "os.urandom": (None, 8.0, 8.0),
    "django.utils.crypto.get_random_string": (12, _ALPHANUMERIC, _ALPHANUMERIC),
    "werkzeug.security.gen_salt": (None, _ALPHANUMERIC, _ALPHANUMERIC),
    "Crypto.Random.get_random_bytes": (None, 8.0, 8.0),
}

_ALPHABETS: Final = {
    "string.ascii_letters": 52,
    "string.ascii_lowercase": 26,
    "string.ascii_uppercase": 26,
    "string.digits": 10,
    "string.hexdigits": 22,
    "string.octdigits": 8,
    "string.punctuation": 32,
    "string.printable": 100,
}

# Names under which projects keep a clock or a maker of ids of their own; called without arguments.
_CLOCK_NAME: Final = pattern(
    r"_*(get_)?(utc_?now|now_utc|now_aware|timezone_now|local_?now|current_(date)?time(stamp)?|now|today)"
)
_UUID_NAME: Final = pattern(r"_*((generate|gen|new|create|make|random)_(uuid4?|guid|ulid)(_str(ing)?|_hex)?|uuid4(_str|_hex)?)")
_SQL: Final = pattern(r"(^|\.)(func|fn|functions|sql|expression)(\.|$)")

_LARGEST: Final = 1e100  # Larger numbers are not sizes, and arithmetic on them can overflow.
_GENERATORS: Final = ("random.SystemRandom", "random.Random", "secrets.SystemRandom")


def made_by(module: Module, call: ast.Call) -> Part | None:
    """The clock or the randomness that a call makes; None for any other call."""
    part = _made(module, call, _full_name(module, call))
    return None if part is None else replace(part, maker=call)


def _made(module: Module, call: ast.Call, name: str) -> Part | None:
    if name in _CLOCKS:
        resolution_s, unit_s = _CLOCKS[name]
        return Part(Kind.CLOCK, call, name + "()", resolution_s=resolution_s, unit_s=unit_s)
    if name == "time.strftime" and len(call.args) == 1:
        return Part(Kind.CLOCK, call, name + "()", resolution_s=_pattern_s(call.args[0]))
    return _random(module, call, name) or _by_name(module, call)


def _by_name(module: Module, call: ast.Call) -> Part | None:
    """A function from elsewhere whose name says what it makes: `utcnow()`, `timeutils.utcnow()`, `generate_uuid()`.

    `func.now()` builds a SQL expression and reads no clock.
    """
    last = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    receiver = module.segment(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    if call.args or module.names.definition(call) is not None or _SQL.search(receiver) or _comes_from_sql(module, call.func):
        return None
    if _CLOCK_NAME.fullmatch(last):
        return Part(Kind.CLOCK, call, f"{last}()", resolution_s=1e-6)
    if _UUID_NAME.fullmatch(last):
        return Part(Kind.RANDOM, call, f"{last}()")
    return None


def _comes_from_sql(module: Module, expr: ast.expr) -> bool:
    return _SQL.search(module.names.dotted(expr)) is not None


def _full_name(module: Module, call: ast.Call) -> str:
    name = module.names.dotted(call.func)
    if name or not isinstance(call.func, ast.Attribute):
        return name
    return f"random.{call.func.attr}" if _is_generator(module, call.func.value) else ""


def _is_generator(module: Module, receiver: ast.expr) -> bool:
    """Whether an object is `random.SystemRandom()` or the like, directly or through a name."""
    if isinstance(receiver, ast.Name):
        values = [binding.value for binding in module.names.lookup(receiver.id, receiver)]
        return any(isinstance(value, ast.Call) and _is_generator(module, value) for value in values)
    return isinstance(receiver, ast.Call) and module.names.dotted(receiver.func) in _GENERATORS


def _random(module: Module, call: ast.Call, name: str) -> Part | None:
    if name in _RANDOM:
        bits, character_bits = _RANDOM[name]
        return Part(Kind.RANDOM, call, name + "()", bits=bits, character_bits=character_bits)
    if name in _SIZED:
        default, unit_bits, character_bits = _SIZED[name]
        count = number(module, call.args[0]) if call.args else _keyword_number(module, call, "length", "nbytes") or default
        return Part(Kind.RANDOM, call, name + "()", bits=_times(count, unit_bits), character_bits=character_bits)
    if name.startswith(("random.", "secrets.", "nanoid.")):
        return _drawn(module, call, name)
    return None


def _drawn(module: Module, call: ast.Call, name: str) -> Part | None:
    """A draw from a range or from an alphabet."""
    args = call.args
    bits: float | None
    match name.partition(".")[2], args:
        case "randint", [low, high]:
            bits = _range_bits(number(module, low), number(module, high), 1)
        case "randrange", [low, high, *_]:
            bits = _range_bits(number(module, low), number(module, high), 0)
        case (("randrange" | "randbelow"), [high]):
            bits = _range_bits(0, number(module, high), 0)
        case "choice", [alphabet]:
            bits = character = _log2(alphabet_size(module, alphabet))
            return Part(Kind.RANDOM, call, name + "()", bits=bits, character_bits=character)
        case (("choices" | "sample"), [alphabet, *rest]):
            count = number(module, rest[-1]) if name.endswith("sample") and rest else _keyword_number(module, call, "k")
            character = _log2(alphabet_size(module, alphabet))
            return Part(Kind.RANDOM, call, name + "()", bits=_times(count, character), character_bits=character)
        case "generate", _:
            size = number(module, args[-1]) if args else _keyword_number(module, call, "size") or 21
            return Part(Kind.RANDOM, call, name + "()", bits=_times(size, _URLSAFE), character_bits=_URLSAFE)
        case (("uniform" | "betavariate" | "gauss" | "triangular"), _):
            bits = 53.0
        case _:
            return None
    return Part(Kind.RANDOM, call, name + "()", bits=bits, character_bits=DECIMAL_BITS)


def number(module: Module, expr: ast.expr, depth: int = 20) -> float | None:
    """The value of a number written in the code, through names and arithmetic; None if it is not one, or made of itself."""
    if not depth:
        return None
    match expr:
        case ast.Constant(value=int() | float() as value) if abs(value) < _LARGEST:
            return float(value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            negated = number(module, operand, depth - 1)
            return None if negated is None else -negated
        case ast.BinOp(left=left, op=op, right=right):
            return _finite(_arithmetic(op, number(module, left, depth - 1), number(module, right, depth - 1)))
        case ast.Name(id=name):
            bindings = module.names.lookup(name, expr)
            assigned = bindings[0].value if len(bindings) == 1 else None
            return number(module, assigned, depth - 1) if isinstance(assigned, (ast.Constant, ast.BinOp, ast.UnaryOp)) else None
        case _:
            return None


def _finite(value: float | None) -> float | None:
    """A number that sizes can be worked out from; None for those past the end of the scale."""
    return value if value is not None and math.isfinite(value) else None


def _arithmetic(op: ast.operator, left: float | None, right: float | None) -> float | None:
    if left is None or right is None:
        return None
    match op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Pow() if 0 < left <= 64 and abs(right) <= 128:  # noqa: PLR2004 - the largest power that fits a float.
            return math.pow(left, right)
        case ast.Div() | ast.FloorDiv() if right:
            return left / right
        case ast.LShift() if 0 <= right <= 512:  # noqa: PLR2004 - likewise.
            return left * math.pow(2.0, right)
        case _:
            return None


def alphabet_size(module: Module, expr: ast.expr, depth: int = 20) -> int | None:
    """How many different values a draw from this expression can give; None if that cannot be told."""
    if not depth:
        return None
    match expr:
        case ast.Constant(value=str() as text):
            return len(set(text))
        case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
            return None if any(isinstance(element, ast.Starred) for element in elements) else len(elements)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            sizes = alphabet_size(module, left, depth - 1), alphabet_size(module, right, depth - 1)
            return None if None in sizes else sum(size for size in sizes if size)
        case ast.Call(func=ast.Name(id="range"), args=[*_, high]):
            size = number(module, high)
            return None if size is None else max(int(size), 1)
        case ast.Name() | ast.Attribute():
            return _named_alphabet(module, expr, depth)
        case _:
            return None


def _named_alphabet(module: Module, expr: ast.Name | ast.Attribute, depth: int) -> int | None:
    name = module.names.dotted(expr)
    if name in _ALPHABETS or not isinstance(expr, ast.Name):
        return _ALPHABETS.get(name)
    values = [binding.value for binding in module.names.reaching(expr.id, expr)]
    value = values[0] if len(values) == 1 else None
    return (
        alphabet_size(module, value, depth - 1) if isinstance(value, (ast.Constant, ast.BinOp, ast.List, ast.Tuple)) else None
    )


def _pattern_s(pattern: ast.expr) -> float:
    text = pattern.value if isinstance(pattern, ast.Constant) and isinstance(pattern.value, str) else ""
    return strftime_resolution_s(text) or 1.0


def alphabet_bits(count: float) -> float:
    """What a choice among so many values carries."""
    return math.log2(max(abs(count), 1))


def _keyword_number(module: Module, call: ast.Call, *names: str) -> float | None:
    found = [keyword.value for keyword in call.keywords if keyword.arg in names]
    return number(module, found[0]) if found else None


def _range_bits(low: float | None, high: float | None, both_ends: int) -> float | None:
    return None if low is None or high is None else _log2(high - low + both_ends)


def _log2(count: float | None) -> float | None:
    return None if count is None else alphabet_bits(count)


def _times(count: float | None, bits: float | None) -> float | None:
    return None if count is None or bits is None else count * bits
