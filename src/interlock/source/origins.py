"""Where does this value come from, and how often is it made?

Values are followed through the assignments of a function, through the helpers of a module (a helper's parameters stand for the
caller's arguments), through the attributes of `self`, and through everything that keeps identity as it is: f-strings,
concatenation, hashing, encoding. What cannot be followed is `unknown`, and no rule may speak of what it does not know.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from interlock.source import makers
from interlock.source.origin import DECIMAL_BITS, Kind, Origin, Part, either, mixed, strftime_resolution_s

if TYPE_CHECKING:
    from interlock.source.module import Function, Module
    from interlock.source.names import Binding

_DEEPEST: Final = 12  # Names and helpers followed in a row; real keys are made within four.

_LONGEST: Final = 500  # Steps for one value, so that a function which builds a text in a hundred branches costs little.

_DIGESTS: Final = ("hashlib.", "hmac.", "zlib.crc32", "zlib.adler32", "binascii.crc32", "xxhash.", "mmh3.", "cityhash.")
_ENCODERS: Final = frozenset(
    "str int bytes repr format float abs round tuple list sorted dict set frozenset map filter reversed "
    "uuid.UUID json.loads json.dumps ujson.dumps orjson.dumps math.floor math.trunc math.ceil hex bin oct ascii "
    "django.utils.encoding.force_bytes django.utils.encoding.force_str django.utils.encoding.smart_str "
    "urllib.parse.quote urllib.parse.urlencode cast typing.cast decimal.Decimal".split()
)
_BASE64: Final = ("base64.", "binascii.hexlify")
_NAMED_UUIDS: Final = ("uuid.uuid5", "uuid.uuid3")
# Methods and attributes that give the same value in another form.
_SAME_VALUE: Final = frozenset(
    "encode decode lower upper strip lstrip rstrip hex digest hexdigest bytes urn int zfill ljust rjust title casefold "
    "isoformat timestamp total_seconds astimezone replace str removeprefix removesuffix to_bytes copy __str__ intdigest".split()
)
_CHARACTER_BITS: Final = {"hex": 4.0, "hexdigest": 4.0, "bytes": 8.0, "digest": 8.0, "int": DECIMAL_BITS}
_UUID_FIELDS: Final = {"time_low": 32.0, "time_mid": 16.0, "time_hi_version": 16.0, "clock_seq": 14.0, "node": 48.0}
_UUID_GROUPS: Final = {0: 8, 1: 4, 2: 4, 3: 4, 4: 12, -1: 12, -2: 4, -3: 4, -4: 4, -5: 8}
_CLOCK_FIELDS_S: Final = {
    "year": 365 * 86400.0,
    "month": 28 * 86400.0,
    "day": 86400.0,
    "hour": 3600.0,
    "minute": 60.0,
    "second": 1.0,
    "microsecond": 1e-6,
    "nanosecond": 1e-9,
}
_TIMESPEC_S: Final = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "milliseconds": 1e-3, "microseconds": 1e-6}


@dataclass(frozen=True, slots=True)
class _Frame:
    """The call through which a value is being followed: what its parameters stand for."""

    arguments: dict[str, Origin] = field(default_factory=dict[str, Origin])
    depth: int = 0


class Origins:
    """The origins of one module's values. `Origins.of(expr)` is the whole interface."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._known: dict[ast.expr, Origin] = {}
        self._open: set[ast.expr] = set()
        self._steps = 0

    def of(self, expr: ast.expr) -> Origin:
        """Where the value of an expression comes from."""
        if expr not in self._known:
            self._steps = 0
            self._known[expr] = self._follow(expr, _Frame())
        return self._known[expr]

    def _follow(self, expr: ast.expr, frame: _Frame) -> Origin:
        self._steps += 1
        if expr in self._open or frame.depth > _DEEPEST or self._steps > _LONGEST:
            return _single(Kind.UNKNOWN, expr)
        self._open.add(expr)
        try:
            return self._origin(expr, replace(frame, depth=frame.depth + 1))
        finally:
            self._open.discard(expr)

    def _all(self, exprs: list[ast.expr], frame: _Frame) -> Origin:
        return mixed(self._follow(expr, frame) for expr in exprs)

    def _origin(self, expr: ast.expr, frame: _Frame) -> Origin:
        """One step, by the form of the expression."""
        match expr:
            case ast.Constant():
                return _single(Kind.CONSTANT, expr)
            case ast.JoinedStr(values=values) | ast.List(elts=values) | ast.Tuple(elts=values) | ast.Set(elts=values):
                return self._all(values, frame)
            case ast.Dict(values=values):
                return self._all(values, frame)
            case ast.FormattedValue():
                return self._formatted(expr, frame)
            case ast.Name():
                return self._name(expr, frame)
            case ast.Attribute():
                return self._attribute(expr, frame)
            case ast.Subscript():
                return self._subscript(expr, frame)
            case ast.BinOp():
                return self._arithmetic(expr, frame)
            case ast.Call():
                return self._call(expr, frame)
            case _:
                return self._passed_through(expr, frame)

    def _passed_through(self, expr: ast.expr, frame: _Frame) -> Origin:
        match expr:
            case ast.Await(value=value) | ast.Starred(value=value) | ast.NamedExpr(value=value):
                return self._follow(value, frame)
            case ast.UnaryOp(operand=value):
                return self._follow(value, frame)
            case ast.IfExp(body=body, orelse=orelse):
                return either([self._follow(body, frame), self._follow(orelse, frame)])
            case ast.BoolOp(values=values):
                return either([self._follow(value, frame) for value in values])
            case ast.ListComp(elt=value) | ast.GeneratorExp(elt=value) | ast.SetComp(elt=value):
                return self._repeated(self._follow(value, frame), expr)
            case _:
                return _single(Kind.UNKNOWN, expr)

    def _repeated(self, element: Origin, comprehension: ast.ListComp | ast.GeneratorExp | ast.SetComp) -> Origin:
        """`n` draws carry `n` times the bits of one."""
        match comprehension.generators:
            case [ast.comprehension(iter=ast.Call(func=ast.Name(id="range"), args=[count]))]:
                times = makers.number(self._module, count)
            case _:
                times = None
        return element.each(lambda part: _multiplied(part, times) if part.kind is Kind.RANDOM else part)

    def _name(self, expr: ast.Name, frame: _Frame) -> Origin:
        bindings = self._module.names.reaching(expr.id, expr)
        if not bindings:
            return _single(Kind.UNKNOWN, expr, expr.id)
        return either([self._bound(expr, binding, frame) for binding in bindings])

    def _bound(self, expr: ast.Name, binding: Binding, frame: _Frame) -> Origin:
        if isinstance(binding.node, ast.arg):
            known = frame.arguments.get(expr.id)
            kind = Kind.REQUEST if expr.id == "request" else Kind.CALLER
            return known or _single(kind, expr, expr.id)
        if binding.dotted.endswith(".request"):
            return _single(Kind.REQUEST, expr, "request")  # The request of this thread, in frameworks that keep it in a global.
        looped = looped_over(self._module, binding.node)
        if looped is not None:
            return _reached(self._follow(looped, frame), expr, "")
        is_context = isinstance(self._module.parent(binding.node), ast.withitem)
        if binding.value is None or is_context:
            return _single(Kind.UNKNOWN, expr, expr.id)
        origin = self._follow(binding.value, frame)
        # A value that cannot be followed is best known by the name that the code gave it.
        return origin.each(
            lambda part: _renamed(part, expr.id) if part.kind is Kind.UNKNOWN and len(origin.parts) == 1 else part
        )

    def _attribute(self, expr: ast.Attribute, frame: _Frame) -> Origin:
        if isinstance(expr.value, ast.Name) and expr.value.id in {"self", "cls"}:
            return self._own_attribute(expr, frame)
        base = self._follow(expr.value, frame)
        if expr.attr in _UUID_FIELDS:
            return base.each(lambda part: part.at_most(_UUID_FIELDS[expr.attr]) if part.kind is Kind.RANDOM else part)
        if expr.attr in _CLOCK_FIELDS_S and base.of(Kind.CLOCK):
            return base.clocks(lambda part: part.coarse(_CLOCK_FIELDS_S[expr.attr]))
        if expr.attr in _SAME_VALUE:
            return base.each(lambda part: _respelled(part, expr.attr))
        return _reached(base, expr, expr.attr)

    def _own_attribute(self, expr: ast.Attribute, frame: _Frame) -> Origin:
        """`self.x`: a property is followed, a value kept from before is `stored`, a class attribute is what the class says."""
        owner = self._module.enclosing(expr, ast.ClassDef)
        if owner is None:
            return _single(Kind.UNKNOWN, expr, expr.attr)
        if expr.attr == "request":
            return _single(Kind.REQUEST, expr, "request")
        getter = self._module.names.method(owner, expr.attr)
        if getter is not None:
            return self._returned(getter, _Frame(depth=frame.depth), expr)
        return self._kept(owner, expr, frame)

    def _kept(self, owner: ast.ClassDef, expr: ast.Attribute, frame: _Frame) -> Origin:
        set_here, set_elsewhere, on_class = self._assigned(owner, expr)
        if set_here:
            return self._follow(set_here[-1], frame)
        if set_elsewhere:
            kept = either([self._follow(value, _Frame(depth=frame.depth)) for value in set_elsewhere])
            return kept.each(lambda part: _stored(part, expr))
        if on_class:
            return self._follow(on_class[-1], _Frame(depth=frame.depth))
        return _single(Kind.STORED, expr, expr.attr)

    def _assigned(self, owner: ast.ClassDef, expr: ast.Attribute) -> tuple[list[ast.expr], list[ast.expr], list[ast.expr]]:
        """What is assigned to `self.x`: earlier in this function, in other methods, and in the class body."""
        function = self._module.function(expr)
        assigned = self._module.names.attributes(owner).get(expr.attr, [])
        here = [value for value in assigned if self._module.function(value) is function and value.lineno < expr.lineno]
        elsewhere = [value for value in assigned if self._module.function(value) is not function]
        bodies = (self._module.names.own(cls).get(expr.attr, []) for cls in self._module.names.lineage(owner))
        return here, elsewhere, [binding.value for found in bodies for binding in found if binding.value is not None]

    def _subscript(self, expr: ast.Subscript, frame: _Frame) -> Origin:
        match expr:
            case ast.Subscript(value=ast.Call(func=ast.Attribute(value=text, attr="split"), args=[ast.Constant(value="-")])):
                origin, characters = self._follow(text, frame), _UUID_GROUPS.get(_index(expr.slice), 0)
                return origin.each(lambda part: part.cut(characters)) if characters else origin
            case ast.Subscript(slice=ast.Slice(lower=lower, upper=upper, step=None)):
                return self._cut(self._follow(expr.value, frame), lower, upper)
            case ast.Subscript(slice=ast.Constant(value=str() as key)):
                return _reached(self._follow(expr.value, frame), expr, key)
            case _:
                return _reached(self._follow(expr.value, frame), expr, "")

    def _cut(self, origin: Origin, lower: ast.expr | None, upper: ast.expr | None) -> Origin:
        """A slice of a text. Only a text of one part can be said to lose bits of that part."""
        low = makers.number(self._module, lower) if lower else 0.0
        high = makers.number(self._module, upper) if upper else None
        if len(origin.parts) > 1 and not all(part.character_bits == 4.0 for part in origin.parts):  # noqa: PLR2004 - hex.
            return origin
        match low, high:
            case None, _:
                return origin
            case _, None if low < 0:
                return origin.each(lambda part: part.cut(-low))
            case _, None:
                return origin.each(lambda part: part if not low else _without(part, low))
            case _ if (low < 0) == (high < 0):
                return origin.each(lambda part: part.cut(max(high - low, 0)))
            case _:
                return origin

    def _arithmetic(self, expr: ast.BinOp, frame: _Frame) -> Origin:
        left = self._follow(expr.left, frame)
        factor = makers.number(self._module, expr.right)
        match expr.op:
            case ast.Mult() if factor is None and (times := makers.number(self._module, expr.left)):
                return self._follow(expr.right, frame).clocks(lambda part: part.scaled(times))
            case ast.Mod() if isinstance(expr.left, ast.Constant) and isinstance(expr.left.value, (str, bytes)):
                return mixed([left, self._follow(expr.right, frame)])
            case ast.Mult() if factor:
                return left.clocks(lambda part: part.scaled(factor))
            case ast.Div() if factor:
                return left.clocks(lambda part: part.scaled(1 / factor))
            case ast.FloorDiv() if factor:
                return left.clocks(lambda part: part.scaled(1 / factor).whole())
            case ast.Mod() if factor:
                bits = makers.alphabet_bits(factor)
                return left.each(lambda part: part if part.kind is Kind.CLOCK else part.at_most(bits))
            case _:
                return mixed([left, self._follow(expr.right, frame)])

    def _formatted(self, expr: ast.FormattedValue, frame: _Frame) -> Origin:
        """A hole of an f-string; a format such as `%Y%m%d` or `.0f` decides how finely a clock is read."""
        origin = self._follow(expr.value, frame)
        match expr.format_spec:
            case ast.JoinedStr(values=[ast.Constant(value=str() as spec)]) if "%" in spec:
                resolution_s = strftime_resolution_s(spec) or 0.0
                return origin.clocks(lambda part: part.coarse(resolution_s))
            case ast.JoinedStr(values=[ast.Constant(value=str() as spec)]) if spec.endswith(("f", "d")):
                digits = int(number) if (number := spec[:-1].rpartition(".")[2]).isdigit() else 0
                return origin.clocks(lambda part: part.whole(digits))
            case _:
                return origin

    def _call(self, expr: ast.Call, frame: _Frame) -> Origin:
        made = makers.made_by(self._module, expr)
        if made is not None:
            return Origin((made,))
        name = self._module.names.dotted(expr.func)
        helper = self._module.names.definition(expr)
        if helper is not None:
            return self._returned(helper, self._arguments(helper, expr, frame), expr)
        if name in _ENCODERS or name.startswith(_BASE64):
            return self._encoded(expr, name, frame)
        if name.startswith((*_DIGESTS, *_NAMED_UUIDS)) or name == "hash":
            arguments = expr.args[1:] if name.startswith((*_NAMED_UUIDS, "hmac.")) else expr.args
            return self._all(arguments, frame).each(lambda part: replace(part, character_bits=4.0))
        if isinstance(expr.func, ast.Attribute):
            return self._method(expr, expr.func, frame)
        return _single(Kind.UNKNOWN, expr, _callee(expr))

    def _encoded(self, expr: ast.Call, name: str, frame: _Frame) -> Origin:
        origin = self._all(expr.args, frame)
        if name in {"int", "math.floor", "math.trunc", "math.ceil", "round"}:
            digits = makers.number(self._module, expr.args[1]) if name == "round" and len(expr.args) > 1 else 0.0
            return origin.clocks(lambda part: part.whole(int(digits or 0)))
        if name.startswith(_BASE64):
            return origin.each(lambda part: replace(part, character_bits=6.0 if name.startswith("base64.") else 4.0))
        return origin

    def _method(self, expr: ast.Call, func: ast.Attribute, frame: _Frame) -> Origin:
        """A method of a value: the same value in another form, a text made of others, or something fetched."""
        match func.attr:
            case "join" | "format":
                return self._all([func.value, *expr.args, *(keyword.value for keyword in expr.keywords)], frame)
            case "strftime":
                return self._follow(func.value, frame).clocks(lambda part: part.coarse(self._pattern_s(expr)))
            case "date":
                return self._follow(func.value, frame).clocks(lambda part: part.coarse(86400.0))
            case "get" if expr.args and isinstance(expr.args[0], ast.Constant):
                return _reached(self._follow(func.value, frame), expr, str(expr.args[0].value))
            case attr if attr in _SAME_VALUE:
                base = self._follow(func.value, frame)
                return base.each(lambda part: _respelled(part, attr)).clocks(lambda part: part.coarse(_spelled_s(expr)))
            case attr:
                base = self._follow(func.value, frame)
                is_asked = len(base.parts) == 1 and base.parts[0].kind is Kind.REQUEST  # `request.args.getlist(name)`
                return _reached(base, expr, attr) if is_asked else _single(Kind.UNKNOWN, expr, _callee(expr))

    def _pattern_s(self, expr: ast.Call) -> float:
        pattern = expr.args[0] if expr.args else None
        text = pattern.value if isinstance(pattern, ast.Constant) and isinstance(pattern.value, str) else ""
        return strftime_resolution_s(text) or 0.0

    def _arguments(self, helper: Function, call: ast.Call, frame: _Frame) -> _Frame:
        """What a helper's parameters stand for in one call of it."""
        parameters = [arg.arg for arg in (*helper.args.posonlyargs, *helper.args.args)]
        if parameters[:1] in (["self"], ["cls"]) and isinstance(call.func, ast.Attribute):
            parameters = parameters[1:]
        given = {name: value for name, value in zip(parameters, call.args, strict=False) if not isinstance(value, ast.Starred)}
        given |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        return _Frame({name: self._follow(value, frame) for name, value in given.items()}, frame.depth)

    def _returned(self, helper: Function, frame: _Frame, call: ast.expr) -> Origin:
        """What a helper returns, as the caller sees it: what the helper makes is made at the call."""
        returns = [node for node in self._module.names.returns(helper) if node.value is not None]
        if not returns:
            return _single(Kind.UNKNOWN, call, _callee(call))
        origin = either([self._follow(node.value, frame) for node in returns if node.value])
        if self._is_cached(helper):
            return _single(Kind.STORED, call, helper.name)
        given = {part.site for argument in frame.arguments.values() for part in argument.parts}
        return origin.each(
            lambda part: part if part.site in given or self._module.at_import(part.site) else replace(part, site=call)
        )

    def _is_cached(self, helper: Function) -> bool:
        decorators = {name.rpartition(".")[2] for name, _ in self._module.names.decorators(helper)}
        return not decorators.isdisjoint({"cache", "lru_cache", "cached_property"})


def _single(kind: Kind, site: ast.expr, name: str = "") -> Origin:
    return Origin((Part(kind, site, name),))


def _multiplied(part: Part, times: float | None) -> Part:
    return replace(part, bits=None if part.bits is None or times is None else part.bits * times)


def _renamed(part: Part, name: str) -> Part:
    return replace(part, name=name)


def _respelled(part: Part, attr: str) -> Part:
    return replace(part, character_bits=_CHARACTER_BITS.get(attr, part.character_bits))


def _without(part: Part, characters: float) -> Part:
    """What is left of a part after its first characters were dropped."""
    if part.bits is None or not part.character_bits:
        return part
    return part.at_most(max(part.bits - characters * part.character_bits, 0))


def _stored(part: Part, expr: ast.Attribute) -> Part:
    """A clock or randomness that was read earlier and kept is a stored value now."""
    made = part.kind in {Kind.CLOCK, Kind.RANDOM}
    return Part(Kind.STORED, expr, expr.attr) if made else replace(part, site=expr)


def _reached(base: Origin, expr: ast.expr, name: str) -> Origin:
    """Something reached through a value: `order.id`, `payload["user_id"]`. It comes from where the value comes from."""
    kinds = [part.kind for part in base.parts if part.kind in {Kind.REQUEST, Kind.CALLER, Kind.STORED}]
    first = base.parts[0].name if base.parts else ""
    kind = kinds[0] if kinds and len(base.parts) == 1 else Kind.UNKNOWN
    return _single(kind, expr, f"{first}.{name}".strip("."))


def looped_over(module: Module, target: ast.AST) -> ast.expr | None:
    """What a loop goes over whose variable this is; None if it is not one of a loop."""
    around: ast.AST | None = target
    while isinstance(around, (ast.Name, ast.Tuple, ast.List, ast.Starred)):
        around = module.parent(around)
    if not isinstance(around, (ast.For, ast.AsyncFor, ast.comprehension)) or not isinstance(target, ast.expr):
        return None
    match around.iter:
        case ast.Call(func=ast.Attribute(value=base, attr="items" | "values" | "keys" | "split")):
            return base
        case ast.Call(func=ast.Name(id="enumerate" | "sorted" | "reversed" | "set" | "list" | "iter"), args=[base, *_]):
            return base
        case over:
            return over


def _callee(expr: ast.expr) -> str:
    """The text of what is called, without its arguments."""
    return ast.unparse(expr.func if isinstance(expr, ast.Call) else expr)


def _index(expr: ast.expr) -> int:
    match expr:
        case ast.Constant(value=int() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)):
            return -value
        case _:
            return 99


def _spelled_s(expr: ast.Call) -> float:
    """How far a date's own methods coarsen it: `isoformat(timespec="seconds")`, `replace(microsecond=0)`."""
    for keyword in expr.keywords:
        match keyword:
            case ast.keyword(arg="timespec", value=ast.Constant(value=str() as unit)):
                return _TIMESPEC_S.get(unit, 0.0)
            case ast.keyword(arg="microsecond", value=ast.Constant(value=0)):
                return 1.0
            case _:
                continue
    return 0.0
