"""Which values cannot carry syntax into a text that a machine will read: SQL, a shell command, a path.

A number, a UUID, a date, a member of an enumeration, a constant of the module or of another module, a look-up in a constant table,
a value that was checked against a list or a pattern before, the result of a function that quotes: none of them brings a quote or a
keyword that its author did not write. Everything else might.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

from interlock.core.pattern import pattern
from interlock.hazards.security._callers import is_operated
from interlock.source.module import FUNCTIONS
from interlock.source.names import leaves
from interlock.source.origin import Kind
from interlock.source.sinks import words
from interlock.source.text import Frame, arguments_of, parameter_owner

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from interlock.source.module import Function, Module
    from interlock.source.names import Binding

_DEEPEST: Final = 40  # Values followed in a row.
_LONGEST: Final = 2000  # Steps for one value.

# Types whose text cannot hold a quote.
_PLAIN_TYPES: Final = frozenset(
    "int float bool complex Decimal UUID UUID4 uuid4 date datetime time timedelta Enum IntEnum StrEnum Literal None NoneType "
    "PositiveInt NonNegativeInt NegativeInt conint confloat StrictInt StrictBool IPv4Address IPv6Address ObjectId Timestamp".split()
)
_WRAPPING_TYPES: Final = frozenset(
    "Optional Union Annotated list List set Set frozenset FrozenSet tuple Tuple Sequence Iterable Collection Final ClassVar".split()
)
_PLAIN_MAKERS: Final = frozenset(
    "int float bool complex len abs round sum ord hash id range divmod pow uuid.UUID decimal.Decimal datetime.timedelta "
    "datetime.datetime datetime.date datetime.datetime.fromisoformat datetime.datetime.strptime datetime.datetime.fromtimestamp "
    "datetime.date.fromisoformat ipaddress.ip_address ipaddress.ip_network shlex.quote os.getpid isinstance type any all "
    "bson.ObjectId pandas.Timestamp pandas.to_datetime dateutil.parser.parse".split()
)
# What an operator sets when the program starts is not an attacker's.
_OPERATORS: Final = ("os.getenv", "os.environ", "os.path", "os.getcwd", "sys.", "platform.", "socket.gethostname", "getpass.")
_CLIENTS: Final = (".request", ".form_dict")  # The one thing that is imported and yet a client's.
_SENT: Final = frozenset({"GET", "POST", "FILES", "COOKIES", "META"})  # Attributes of a Django request.
_SAME_SYNTAX: Final = frozenset(
    "str repr format list tuple sorted set frozenset filter enumerate zip reversed dict iter next min max cast typing.cast "
    "itertools.chain itertools.islice itertools.product collections.OrderedDict textwrap.dedent".split()
)
_SAME_METHODS: Final = frozenset(
    "keys values items copy pop popleft upper lower strip lstrip rstrip title capitalize casefold split rsplit splitlines partition "
    "rpartition encode decode replace removeprefix removesuffix union intersection get setdefault join format zfill ljust rjust".split()
)
_PLAIN_METHODS: Final = frozenset(
    "isoformat strftime timestamp date time total_seconds toordinal weekday hexdigest digest hex count index find bit_length "
    "utcoffset as_sql as_string lastrowid".split()
)
_PLAIN_ATTRIBUTES: Final = frozenset(
    "id pk year month day hour minute second microsecond days seconds value_count size ndim lastrowid rowcount hex pid __name__ "
    "__qualname__ __tablename__ db_table".split()
)
_QUOTING: Final = pattern(
    r"(^|_)(quote|quoted|quoting|escape|escaped|ident|identifier|identifiers|sanitize|sanitized|sanitise|literal|placeholder|placeholders"
    r"|paramstyle|mogrify|adapt|bindparam|bindparams|whitelist|whitelisted|allowlist|validate|validated|secure|safe)(_|$)"
)
_CHECKING: Final = pattern(
    r"(^|_)(valid|validate|validates|validated|check|checks|assert|ensure|sanitize|verify|require|allowed|match|fullmatch|safe|is)(_|$)"
    r"|^is[a-z]+$|^(issubset|issuperset|isdisjoint|difference)$"
)
_OWN_CHECKS: Final = frozenset(
    "isdigit isdecimal isnumeric isalnum isalpha isidentifier issubset issuperset isdisjoint difference".split()
)
_KNOWN_CONSTANT: Final = pattern(r"^_*[A-Z][A-Z0-9_]+$")


class Inert:
    """Which values of one module cannot carry syntax."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._open: list[tuple[ast.expr, Frame | None]] = []
        self._steps = 0
        self._guards = _guards(module)
        self._calls: dict[Function, list[ast.Call]] | None = None
        self._is_script = any(isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in module.tree.body)

    def holds(self, expr: ast.expr, frame: Frame | None = None) -> bool:
        """Whether a value cannot carry syntax."""
        self._steps = 0
        return self._holds(expr, frame)

    def _holds(self, expr: ast.expr, frame: Frame | None) -> bool:
        self._steps += 1
        if len(self._open) > _DEEPEST or self._steps > _LONGEST:
            return False
        if (expr, frame) in self._open:
            return True  # A value that only repeats itself brings nothing new.
        self._open.append((expr, frame))
        try:
            return self._inert(expr, frame) or self._guarded(expr)
        finally:
            self._open.pop()

    def _every(self, exprs: Iterable[ast.expr | None], frame: Frame | None) -> bool:
        return all(expr is None or self._holds(expr, frame) for expr in exprs)

    def _inert(self, expr: ast.expr, frame: Frame | None) -> bool:
        match expr:
            case ast.Constant() | ast.Compare() | ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
                return True
            case ast.BinOp():
                return self._arithmetic(expr, frame)
            case ast.Name():
                return self._name(expr, frame)
            case ast.Attribute():
                return self._attribute(expr, frame)
            case ast.Call():
                return self._call(expr, frame)
            case _:
                return self._made_of(expr, frame)

    def _made_of(self, expr: ast.expr, frame: Frame | None) -> bool:
        """Whether all that a value is made of is inert."""
        match expr:
            case ast.JoinedStr(values=values) | ast.List(elts=values) | ast.Tuple(elts=values) | ast.Set(elts=values):
                return self._every(values, frame)
            case ast.BoolOp(values=values):
                return self._every(values, frame)
            case ast.Dict(keys=keys, values=values):
                return self._every([*keys, *values], frame)
            case ast.DictComp(key=key, value=value):
                return self._every([key, value], frame)
            case ast.IfExp(body=body, orelse=orelse):
                return self._every([body, orelse], frame)
            case ast.FormattedValue(value=value, format_spec=spec):
                return is_plain_spec(_spec_of(spec)) or self._holds(value, frame)
            case ast.Await(value=value) | ast.Starred(value=value) | ast.NamedExpr(value=value) | ast.UnaryOp(operand=value):
                return self._holds(value, frame)
            case ast.ListComp(elt=value) | ast.GeneratorExp(elt=value) | ast.SetComp(elt=value) | ast.Subscript(value=value):
                return self._holds(value, frame)
            case _:
                return False

    def _arithmetic(self, expr: ast.BinOp, frame: Frame | None) -> bool:
        match expr.op:
            case ast.Add():
                return _is_number(expr.left) or _is_number(expr.right) or self._every([expr.left, expr.right], frame)
            case ast.Mult():
                return self._holds(expr.left, frame) or self._holds(expr.right, frame)
            case ast.Mod():
                return _is_number(expr.right) or self._every([expr.left, expr.right], frame)
            case ast.BitOr() | ast.BitAnd():
                return self._every([expr.left, expr.right], frame)
            case ast.Sub():
                return self._holds(expr.left, frame) or not self._is_set(expr.left)
            case _:
                return True  # No other operator is defined for texts.

    def _is_set(self, expr: ast.expr) -> bool:
        return isinstance(expr, (ast.Set, ast.SetComp)) or (
            isinstance(expr, ast.Call) and self._module.names.dotted(expr.func) == "set"
        )

    def _name(self, expr: ast.Name, frame: Frame | None) -> bool:
        bindings = self._module.names.reaching(expr.id, expr)
        if not bindings:
            return self._module.names.dotted(expr) == expr.id  # A builtin.
        return all(self._bound(expr, binding, frame) for binding in bindings)

    def _bound(self, expr: ast.Name, binding: Binding, frame: Frame | None) -> bool:
        match binding.node:
            case ast.arg() as parameter:
                return self._parameter(parameter, frame)
            case ast.Import() | ast.ImportFrom():
                return not binding.dotted.endswith(_CLIENTS)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return True
            case ast.AugAssign(target=ast.Name() as target, value=value):
                return self._every([target, value], frame)
            case ast.Assign(value=value) | ast.NamedExpr(value=value) | ast.AnnAssign(value=ast.expr() as value):
                return self._assigned(expr, binding, value, frame)
            case ast.expr() as target:
                return self._target(expr, target, frame)
            case _:
                return False

    def _assigned(self, expr: ast.Name, binding: Binding, value: ast.expr, frame: Frame | None) -> bool:
        if self._module.at_import(binding.node) and not self._module.at_import(expr):
            return True  # Made when the module was imported: no caller had a say in it.
        return self.is_plain_type(binding.annotation) or self._holds(binding.value or value, frame)

    def _target(self, expr: ast.Name, target: ast.expr, frame: Frame | None) -> bool:
        """A loop's variable: an element of what the loop goes over."""
        around: ast.AST | None = target
        while isinstance(around, (ast.Name, ast.Tuple, ast.List, ast.Starred)):
            around = self._module.parent(around)
        if not isinstance(around, (ast.For, ast.AsyncFor, ast.comprehension)):
            return False
        match around.target, around.iter:
            case ast.Tuple(elts=[ast.Name(id=name), *_]), ast.Call(func=ast.Name(id="enumerate")) if name == expr.id:
                return True
            case ast.Tuple(elts=names), ast.Call(func=ast.Name(id="zip"), args=args) if len(names) == len(args):
                places = [
                    place for name, place in zip(names, args, strict=True) if isinstance(name, ast.Name) and name.id == expr.id
                ]
                return self._every(places or args, frame)
            case ast.Tuple(elts=[ast.Name(id=name), *_]), ast.Call(func=ast.Attribute(value=ast.Dict(keys=keys), attr="items")):
                return name == expr.id and self._every(keys, frame)
            case ast.Tuple(elts=names), ast.List(elts=rows) | ast.Tuple(elts=rows) if all(
                _is_row(row, len(names)) for row in rows
            ):
                place = next(
                    (number for number, name in enumerate(names) if isinstance(name, ast.Name) and name.id == expr.id), None
                )
                return place is not None and self._every(
                    (row.elts[place] for row in rows if isinstance(row, (ast.Tuple, ast.List))), frame
                )
            case _:
                return self._holds(around.iter, frame)

    def _parameter(self, parameter: ast.arg, frame: Frame | None) -> bool:
        owner = parameter_owner(self._module, parameter)
        if self.is_plain_type(parameter.annotation) or (owner is not None and _default_is_number(owner, parameter)):
            return True
        if owner is not None and frame is not None and frame.helper is owner:
            argument = frame.arguments.get(parameter.arg)
            return argument is not None and self._holds(argument, frame.caller)
        return owner is not None and (is_operated(owner, self._module) or self._always_given(owner, parameter.arg))

    def _always_given(self, owner: Function, name: str) -> bool:
        """Whether a private helper, or a function of a script, is only called from this module, and always with inert values."""
        around = self._module.scope(owner)
        is_nested = isinstance(around, FUNCTIONS) or (self._is_script and isinstance(around, ast.Module))
        is_private = is_nested or (owner.name.startswith("_") and not owner.name.startswith("__"))
        calls = [call for method in self._overridden(owner) for call in self._calls_of(method)] if is_private else []
        given = [arguments_of(owner, call).get(name) for call in calls]
        return bool(given) and all(value is not None and self._holds(value, None) for value in given)

    def _overridden(self, function: Function) -> list[Function]:
        """A function, and the methods of its name in the bases of its class: a call of those may be a call of it."""
        owner = self._module.scope(function)
        classes = self._module.names.lineage(owner) if isinstance(owner, ast.ClassDef) else ()
        bodies = [binding.node for cls in classes for binding in self._module.names.own(cls).get(function.name, ())]
        return [body for body in bodies if isinstance(body, FUNCTIONS)] or [function]

    def _calls_of(self, function: Function) -> list[ast.Call]:
        if self._calls is None:
            self._calls = {}
            for call in self._module.nodes(ast.Call):
                helper = self._module.names.definition(call)
                if helper is not None:
                    self._calls.setdefault(helper, []).append(call)
        return self._calls.get(function, [])

    def is_plain_type(self, annotation: ast.AST | None) -> bool:
        """Whether values of this type print without a quote in them."""
        match annotation:
            case None:
                return False
            case ast.Constant(value=None):
                return True
            case ast.Constant(value=str() as text):
                names = re.findall(r"[A-Za-z_][\w.]*", text)
                return bool(names) and all(name.rpartition(".")[2] in {*_PLAIN_TYPES, *_WRAPPING_TYPES} for name in names)
            case ast.BinOp(op=ast.BitOr(), left=left, right=right):
                return self.is_plain_type(left) and self.is_plain_type(right)
            case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inside):
                return name == "Literal" or (name in _WRAPPING_TYPES and self._are_plain_types(name, inside))
            case ast.Name(id=name) | ast.Attribute(attr=name):
                return name in _PLAIN_TYPES or self._is_enum(annotation)
            case _:
                return False

    def _are_plain_types(self, wrapper: str, inside: ast.expr) -> bool:
        types = inside.elts if isinstance(inside, ast.Tuple) else [inside]
        types = [kind for kind in types if not (isinstance(kind, ast.Constant) and kind.value is ...)]
        return bool(types) and all(self.is_plain_type(kind) for kind in (types[:1] if wrapper == "Annotated" else types))

    def _is_enum(self, annotation: ast.AST) -> bool:
        found = self._module.names.lookup(annotation.id, annotation) if isinstance(annotation, ast.Name) else []
        classes = [binding.node for binding in found if isinstance(binding.node, ast.ClassDef)]
        if not classes:
            return any(self.is_plain_type(binding.value) for binding in found if isinstance(binding.value, ast.Subscript))
        bases = {name.rpartition(".")[2] for name in self._module.names.ancestry(classes[-1])}
        return any(base.endswith(("Enum", "Choices", "Flag")) for base in bases)

    def _attribute(self, expr: ast.Attribute, frame: Frame | None) -> bool:
        if (
            (_KNOWN_CONSTANT.match(expr.attr) and expr.attr not in _SENT)
            or expr.attr in _PLAIN_ATTRIBUTES
            or _QUOTING.search(words(expr.attr))
        ):
            return True
        dotted = self._module.names.dotted(expr)
        if dotted:
            # A constant of another module, or an attribute of a class of this one; the request of this thread is neither.
            return {"request", "form_dict"}.isdisjoint(dotted.split("."))
        match expr.value:
            case ast.Name(id="self" | "cls"):
                return self._own(expr)
            case ast.Attribute(attr="_meta"):
                return True
            case base:
                return self._holds(base, frame)

    def _own(self, expr: ast.Attribute) -> bool:
        """`self.x`: every value that the class and its methods give it."""
        owner = self._module.enclosing(expr, ast.ClassDef)
        if owner is None:
            return False
        getter = self._module.names.method(owner, expr.attr)
        if getter is not None:
            values = [node.value for node in self._module.names.returns(getter)]
            return self.is_plain_type(getter.returns) or (bool(values) and self._every(values, None))
        bodies = [self._module.names.own(cls).get(expr.attr, []) for cls in self._module.names.lineage(owner)]
        bindings = [binding for body in bodies for binding in body]
        if any(self.is_plain_type(binding.annotation) for binding in bindings):
            return True
        given = [*self._module.names.attributes(owner).get(expr.attr, []), *(b.value for b in bindings if b.value is not None)]
        return bool(given) and self._every(given, None)

    def _call(self, expr: ast.Call, frame: Frame | None) -> bool:
        name = self._module.names.dotted(expr.func)
        last = name.rpartition(".")[2] or (
            expr.func.attr if isinstance(expr.func, ast.Attribute) else getattr(expr.func, "id", "")
        )
        if name in _PLAIN_MAKERS or name.startswith(_OPERATORS) or _QUOTING.search(words(last)):
            return True
        if self._is_made_here(expr):
            return True
        helper = self._module.names.definition(expr)
        if helper is not None:
            return self._returned(helper, expr, frame)
        match expr:
            case ast.Call(func=ast.Name(id="map"), args=[function, *rest]):
                return self._module.names.dotted(function) in _PLAIN_MAKERS or _quotes(function) or self._every(rest, frame)
            case ast.Call(func=ast.Name(), args=args) if name in _SAME_SYNTAX:
                return self._every(args, frame)
            case ast.Call(func=ast.Attribute(attr="sub"), args=[ast.Constant(value=str() as pattern), *_]) if name == "re.sub":
                return pattern.startswith("[^") or "'" in pattern
            case ast.Call(func=ast.Attribute(value=base, attr=attr)):
                return self._method(expr, base, attr, frame)
            case _:
                return name in _SAME_SYNTAX and self._every(expr.args, frame)

    def _method(self, expr: ast.Call, base: ast.expr, attr: str, frame: Frame | None) -> bool:
        match attr:
            case "parse_args":
                return "argparse" in self._module.text  # In flask_restful, the arguments are the client's.
            case _ if attr in _PLAIN_METHODS:
                return True
            case "replace" if expr.args and isinstance(expr.args[0], ast.Constant) and expr.args[0].value in {"'", '"', "`"}:
                return True  # Doubles or drops the quotes, and is the author's own way of quoting.
            case _ if attr in _SAME_METHODS:
                return self._every([base, *expr.args, *(keyword.value for keyword in expr.keywords)], frame)
            case _:
                return False

    def _is_made_here(self, expr: ast.Call) -> bool:
        """Whether the value is nothing but a clock reading, or random."""
        parts = self._module.origins.of(expr).variable
        return bool(parts) and all(part.kind in {Kind.CLOCK, Kind.RANDOM} for part in parts)

    def _returned(self, helper: Function, call: ast.Call, frame: Frame | None) -> bool:
        if self.is_plain_type(helper.returns):
            return True
        values = [node.value for node in self._module.names.returns(helper) if node.value is not None]
        inner = Frame(helper, arguments_of(helper, call), frame)
        depth = sum(1 for opened, _ in self._open if opened is call)
        return bool(values) and depth < 2 and self._every(values, inner)  # noqa: PLR2004 - a helper that calls itself.

    def _guarded(self, expr: ast.expr) -> bool:
        """Whether a check that the value had to pass stands before this use, or around it."""
        if not isinstance(expr, (ast.Name, ast.Attribute, ast.Subscript)):
            return False
        text = ast.unparse(expr)
        around = list(self._module.ancestors(expr))
        if any(_admits(block, below, text) for below, block in zip([expr, *around], around, strict=False)):
            return True
        guards = self._guards.get((self._module.scope(expr), text), ())
        blocks = set(around)
        return any(guard.lineno < expr.lineno and self._module.parent(guard) in blocks for guard in guards)


def is_plain_spec(spec: str) -> bool:
    """Whether a format such as `d`, `.2f`, `05x` or `%Y` lets nothing but numbers and dates through."""
    return bool(spec) and ("%" in spec or spec[-1] in "diouxXeEfFgGn%")


def _spec_of(spec: ast.expr | None) -> str:
    match spec:
        case ast.JoinedStr(values=[ast.Constant(value=str() as text)]):
            return text
        case _:
            return ""


def _is_number(expr: ast.expr) -> bool:
    return isinstance(expr, ast.Constant) and isinstance(expr.value, (int, float))


def _is_row(row: ast.expr, length: int) -> bool:
    return isinstance(row, (ast.Tuple, ast.List)) and len(row.elts) == length


def _quotes(function: ast.expr) -> bool:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _QUOTING.search(words(name)) is not None
        case _:
            return False


def _default_is_number(owner: Function, parameter: ast.arg) -> bool:
    positional = [*owner.args.posonlyargs, *owner.args.args]
    pairs = [*zip(reversed(positional), reversed(owner.args.defaults), strict=False)]
    pairs += [
        (arg, default)
        for arg, default in zip(owner.args.kwonlyargs, owner.args.kw_defaults, strict=True)
        if default is not None
    ]
    return parameter.annotation is None and any(arg is parameter and _is_number(default) for arg, default in pairs)


def _guards(module: Module) -> dict[tuple[ast.AST, str], list[ast.stmt]]:
    """The statements that let only checked values pass, by scope and by the text of what they check."""
    found: dict[tuple[ast.AST, str], list[ast.stmt]] = {}
    for statement in (node for node in module.nodes(ast.If, ast.Assert, ast.Expr, ast.For) if isinstance(node, ast.stmt)):
        for text in _checked(statement):
            found.setdefault((module.scope(statement), text), []).append(statement)
    return found


def _checked(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.If(test=test, body=body) if leaves(body) or _stops(body):
            # Who leaves because a value is known already has not checked those that are not.
            yield from _mentioned(test, is_refusal=isinstance(body[-1], ast.Raise) or _stops(body))
        case ast.If(test=test, body=[ast.Assign(targets=[target])]):
            yield from (text for text in _mentioned(test) if text == ast.unparse(target))
        case ast.Assert(test=test):
            yield from _mentioned(test)
        case ast.Expr(value=ast.Call() as call) | ast.Expr(value=ast.Await(value=ast.Call() as call)):
            yield from _mentioned(call)
        case ast.For(target=target, iter=over, body=body):
            texts = {text for inner in body if not isinstance(inner, ast.For) for text in _checked(inner)}
            if ast.unparse(target) in texts:
                yield ast.unparse(over)
        case _:
            pass


def _stops(body: list[ast.stmt]) -> bool:
    """Whether the last statement is a call that raises: `abort(400)`, `frappe.throw(...)`, `sys.exit(1)`."""
    match body[-1:]:
        case [ast.Expr(value=ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)))]:
            return name in {"abort", "throw", "exit", "_exit", "fail", "error", "fail_json"}
        case _:
            return False


def _mentioned(test: ast.expr, *, is_refusal: bool = True) -> Iterator[str]:
    """The texts of the values that a condition holds against a list, a set, a pattern or a type."""
    for node in ast.walk(test):
        match node:
            case ast.Compare(ops=[ast.In()]) if not is_refusal:
                pass
            case ast.Compare(
                left=left, ops=[ast.In() | ast.NotIn() | ast.LtE() | ast.Lt() | ast.GtE() | ast.Gt()], comparators=others
            ):
                yield from _values([left, *others])
            case ast.Call() if _is_check(node):
                yield from _values(_subjects(node))
            case ast.BinOp(op=ast.Sub(), left=left):
                yield from _values([left])
            case _:
                pass


def _is_check(call: ast.Call) -> bool:
    """Whether a call holds a value against something, to judge by its name; that a value is a text says nothing about it."""
    match call.func:
        case ast.Name(id="isinstance"):
            return len(call.args) > 1 and {"str", "bytes"}.isdisjoint(re.findall(r"\w+", ast.unparse(call.args[1])))
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _CHECKING.search(words(name)) is not None
        case _:
            return False


def _subjects(call: ast.Call) -> list[ast.expr]:
    """What a check is about; `form.is_valid()` says nothing about the texts in the form."""
    match call.func:
        case ast.Attribute(value=value, attr=attr) if attr in _OWN_CHECKS:
            return [value]
        case _:
            return call.args


def _values(exprs: list[ast.expr]) -> Iterator[str]:
    for expr in exprs:
        for node in ast.walk(expr):
            match node:
                case ast.Call(func=ast.Name(id="len")):
                    break
                case ast.Name() | ast.Attribute() | ast.Subscript():
                    yield ast.unparse(node)
                case _:
                    pass


def _admits(block: ast.AST, below: ast.AST, text: str) -> bool:
    """Whether a node of the tree lets control to the node below it only if a value was found in a list, or equal to a constant."""
    match block:
        case ast.If(test=test, body=body) if below in body:
            return any(_is_admission(part, text) for part in _all_of(test))
        case ast.IfExp(test=test, body=body) if below is body:
            return any(_is_admission(part, text) for part in _all_of(test))
        case ast.ListComp() | ast.GeneratorExp() | ast.SetComp() | ast.DictComp():
            return any(
                _is_admission(part, text) for generator in block.generators for test in generator.ifs for part in _all_of(test)
            )
        case ast.match_case(pattern=pattern) if below in block.body:
            return isinstance(pattern, (ast.MatchValue, ast.MatchOr))
        case _:
            return False


def _all_of(test: ast.expr) -> list[ast.expr]:
    return test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]


def _is_admission(test: ast.expr, text: str) -> bool:
    match test:
        case ast.Compare(left=left, ops=[ast.In()]):
            return ast.unparse(left) == text
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[ast.Constant()]):
            return ast.unparse(left) == text
        case ast.Call() if _is_check(test):
            return text in _values(_subjects(test))
        case _:
            return False
