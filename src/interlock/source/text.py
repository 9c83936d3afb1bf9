"""How a text is put together: which of it is written in the code, and where a value is put in.

`"... WHERE name = '" + name + "'"`, the same with `%`, `.format` or an f-string, grown by `+=` under conditions or joined from
a list of parts, are one and the same text with one hole. Names are followed to what they were assigned, and helpers of the
module to what they return. Where a text depends on branches, there are several; every branch is in at least one of them.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from string import Formatter
from typing import TYPE_CHECKING, Final, TypeAlias

from interlock.core.pattern import pattern
from interlock.source.module import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from interlock.source.module import Function, Module, Scope
    from interlock.source.names import Binding

_VARIANTS: Final = 24  # Texts of one expression; the most that branches made of one query in the corpora was 16.
_DEEPEST: Final = 60  # Steps into each other: a query that grows by `+=` takes one for each.
_LONGEST: Final = 3000  # Steps for one text in all.

_PERCENT: Final = pattern(r"%(?:\((\w+)\))?[#0\- +]*(?:\*|\d+)?(?:\.\d+)?([diouxXeEfFgGcrsa%])")
_DOLLAR: Final = pattern(r"\$\{?([A-Za-z_]\w*)\}?")
_TRIMMING: Final = frozenset("strip lstrip rstrip removesuffix removeprefix encode decode lower upper expandtabs".split())
_WRAPPERS: Final = frozenset({"textwrap.dedent", "inspect.cleandoc", "str", "typing.cast"})
_COLLECTING: Final = frozenset({"list", "tuple", "sorted", "set", "filter", "reversed"})


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A call of a helper of this module: what its parameters stand for."""

    helper: Function
    arguments: dict[str, ast.expr]
    caller: Frame | None  # in which the arguments are to be read


@dataclass(frozen=True, slots=True, eq=False)
class Hole:
    """A place in a text where a value is put in."""

    value: ast.expr
    text: ast.expr  # the string expression that has the hole
    spec: str = ""  # how it is formatted: `d` of `%d`, `.2f` of `{x:.2f}`
    frame: Frame | None = None
    is_entry: bool = False  # the value is a mapping, and one entry of it is put in


Text: TypeAlias = tuple[str | Hole, ...]


class Texts:
    """The texts of one module. `Texts.of(expr)` is the whole interface."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._open: list[tuple[ast.expr, Frame | None]] = []
        self._steps = 0
        self._reached: dict[ast.Name, list[Binding]] = {}
        self._appended: dict[tuple[Scope, str], list[tuple[ast.expr, bool]]] = {}
        for call in module.nodes(ast.Call):
            match call:
                case ast.Call(func=ast.Attribute(value=ast.Name() | ast.Attribute() as grown, attr=attr), args=[*_, value]):
                    if attr in {"append", "add", "insert", "extend", "update"}:
                        self._grow(grown, value, many=attr in {"extend", "update"})
                case _:
                    pass
        for statement in module.nodes(ast.AugAssign):
            if isinstance(statement.op, ast.Add) and isinstance(statement.target, ast.Attribute):
                self._grow(statement.target, statement.value, many=isinstance(statement.value, (ast.List, ast.Tuple)))

    def _grow(self, grown: ast.expr, value: ast.expr, *, many: bool) -> None:
        """Notes what is added to a list that is kept in a name, or to a list or a text that is kept on an object."""
        key = self._key(grown)
        if key is not None:
            self._appended.setdefault(key, []).append((value, many))

    def _key(self, kept: ast.expr) -> tuple[Scope, str] | None:
        match kept:
            case ast.Name(id=name):
                return self._module.scope(kept), name
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
                owner = self._module.enclosing(kept, ast.ClassDef)
                return (owner, f"self.{name}") if owner else None
            case _:
                return None

    def of(self, expr: ast.expr) -> list[Text]:
        """The texts that an expression can be; one with a single hole if it is not a text that can be followed."""
        self._steps = 0
        return self._texts(expr, expr, None)

    def _texts(self, expr: ast.expr, owner: ast.expr, frame: Frame | None) -> list[Text]:
        """The texts of an expression. `owner` is the string expression that it is put into."""
        self._steps += 1
        hole: list[Text] = [(Hole(expr, owner, frame=frame),)]
        if len(self._open) > _DEEPEST or self._steps > _LONGEST or (expr, frame) in self._open:
            return hole
        self._open.append((expr, frame))
        try:
            found = self._followed(expr, owner, frame)
        finally:
            self._open.pop()
        # A value that turns out to be no text stays known by the expression that the code puts in.
        if all(_is_lone(text) for text in found):
            return hole
        return [hole[0] if _is_lone(text) else text for text in found[:_VARIANTS]]

    def _followed(self, expr: ast.expr, owner: ast.expr, frame: Frame | None) -> list[Text]:
        match expr:
            case ast.Constant(value=bytes() as raw):
                return [(raw.decode("latin-1"),)]
            case ast.Constant(value=value):
                return [(str(value),)]
            case ast.JoinedStr(values=values):
                return _joined([self._placed(value, expr, frame) for value in values])
            case ast.BinOp(op=ast.Add()):
                return _joined([self._texts(operand, expr, frame) for operand in _operands(expr)])
            case ast.BinOp(op=ast.Mod(), left=left, right=right):
                return self._filled(self._texts(left, expr, frame), lambda: self._percent(right, expr, frame))
            case ast.Name():
                return self._name(expr, owner, frame)
            case ast.Attribute():
                return self._attribute(expr, owner, frame)
            case ast.Call():
                return self._call(expr, owner, frame)
            case _:
                return self._passed_through(expr, owner, frame)

    def _passed_through(self, expr: ast.expr, owner: ast.expr, frame: Frame | None) -> list[Text]:
        match expr:
            case ast.Await(value=value) | ast.NamedExpr(value=value) | ast.Subscript(value=value, slice=ast.Slice()):
                return self._texts(value, owner, frame)
            case ast.IfExp(body=body, orelse=orelse):
                return self._texts(body, owner, frame) + self._texts(orelse, owner, frame)
            case ast.BoolOp(values=values):
                return [text for value in values for text in self._texts(value, owner, frame)]
            case ast.Subscript(value=value, slice=ast.Constant(value=int() as place)):
                made = self._made_by(value)
                return self._unpacked(expr, place, made, owner, frame) if made else [(Hole(expr, owner, frame=frame),)]
            case ast.Subscript(value=ast.Name() as table):
                return self._looked_up(expr, table, [], owner, frame)
            case _:
                return [(Hole(expr, owner, frame=frame),)]

    def _made_by(self, expr: ast.expr) -> ast.Call | None:
        """The call whose result this is."""
        bindings = self._module.names.reaching(expr.id, expr) if isinstance(expr, ast.Name) else []
        value = bindings[0].value if len(bindings) == 1 else expr
        return value if isinstance(value, ast.Call) else None

    def _looked_up(
        self, expr: ast.expr, table: ast.Name, others: list[ast.expr], owner: ast.expr, frame: Frame | None
    ) -> list[Text]:
        """`CLAUSES[kind]` or `CLAUSES.get(kind, other)`: each text that is written out in the dict."""
        entries = self._literal(table)
        values = [*entries.values, *others] if isinstance(entries, ast.Dict) else []
        return [text for value in values for text in self._texts(value, owner, frame)] or [(Hole(expr, owner, frame=frame),)]

    def _placed(self, value: ast.expr, owner: ast.expr, frame: Frame | None) -> list[Text]:
        """A piece of an f-string. `{name!r}` puts quotes around the value."""
        match value:
            case ast.FormattedValue(value=inner, format_spec=None, conversion=114):
                return [("'", Hole(inner, owner, frame=frame), "'")]
            case ast.FormattedValue(value=inner, format_spec=None):
                return self._texts(inner, owner, frame)
            case ast.FormattedValue(value=inner, format_spec=ast.JoinedStr(values=[ast.Constant(value=str() as spec)])):
                return [(Hole(inner, owner, spec, frame),)]
            case ast.FormattedValue(value=inner):
                return [(Hole(inner, owner, frame=frame),)]
            case _:
                return self._texts(value, owner, frame)

    def _filled(self, templates: list[Text], fill: Callable[[], Callable[[str], list[list[Text]]]]) -> list[Text]:
        """Texts whose own words are templates, each filled from its start."""
        found: list[Text] = []
        for template in templates:
            filled = fill()
            parts: list[list[Text]] = []
            for piece in template:
                if isinstance(piece, Hole):
                    parts.append([(piece,)])
                else:
                    parts += filled(piece)
            found += _joined(parts)
        return found

    def _percent(self, given: ast.expr, owner: ast.expr, frame: Frame | None) -> Callable[[str], list[list[Text]]]:
        """Fills `%s` and `%(name)s`."""
        given = self._literal(given)
        waiting = list(given.elts) if isinstance(given, ast.Tuple) else None
        named = _entries(given)

        def fill(template: str) -> list[list[Text]]:
            parts: list[list[Text]] = []
            end = 0
            for match in _PERCENT.finditer(template):
                parts.append([(template[end : match.start()],)])
                end = match.end()
                key, form = match.groups()
                value = named.get(key) if key else waiting.pop(0) if waiting else None
                spec = "" if form in "sra" else form
                if form == "%":
                    parts.append([("%",)])
                elif key and value is None:
                    parts.append([(Hole(given, owner, spec, frame, is_entry=True),)])
                else:
                    parts.append(self._formatted(value or given, owner, spec, frame))
            return [*parts, [(template[end:],)]]

        return fill

    def _braces(self, call: ast.Call, frame: Frame | None) -> Callable[[str], list[list[Text]]]:
        """Fills `{}`, `{0}` and `{name}`."""
        named = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        spread = next((keyword.value for keyword in call.keywords if not keyword.arg), call)
        named = {**_entries(self._literal(spread)), **named}
        count = iter(range(len(call.args)))

        def value_of(field: str) -> ast.expr:
            name = re.split(r"[.\[]", field)[0]
            index = int(name) if name.isdigit() else next(count, len(call.args)) if not name else len(call.args)
            positional = call.args[index] if index < len(call.args) else spread
            return positional if not name or name.isdigit() else named.get(name, spread)

        def fill(template: str) -> list[list[Text]]:
            parts: list[list[Text]] = []
            for literal, field, spec, conversion in _fields(template):
                parts.append([(literal,)])
                if field is not None:
                    quote: list[Text] = [("'" if conversion == "r" else "",)]
                    parts += [quote, self._formatted(value_of(field), call, spec or "", frame), quote]
            return parts

        return fill

    def _dollars(self, call: ast.Call, frame: Frame | None) -> Callable[[str], list[list[Text]]]:
        """Fills `$name` and `${name}` of a `string.Template`."""
        given = call.args[0] if call.args else call
        named = _entries(self._literal(given)) | {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}

        def fill(template: str) -> list[list[Text]]:
            pieces = _DOLLAR.split(template)
            parts: list[list[Text]] = [[(pieces[0],)]]
            for name, literal in zip(pieces[1::2], pieces[2::2], strict=True):
                parts += [self._formatted(named.get(name, given), call, "", frame), [(literal,)]]
            return parts

        return fill

    def _formatted(self, value: ast.expr, owner: ast.expr, spec: str, frame: Frame | None) -> list[Text]:
        return [(Hole(value, owner, spec, frame),)] if spec else self._texts(value, owner, frame)

    def _literal(self, given: ast.expr) -> ast.expr:
        """The tuple or dict that a name was assigned, if there is just one."""
        bindings = self._module.names.reaching(given.id, given) if isinstance(given, ast.Name) else []
        value = bindings[0].value if len(bindings) == 1 else None
        return value if isinstance(value, (ast.Tuple, ast.Dict)) else given

    def _name(self, expr: ast.Name, owner: ast.expr, frame: Frame | None) -> list[Text]:
        found: list[Text] = []
        for binding in self._alternatives(expr):
            found += self._bound(expr, binding, owner, frame)
            if sum(not _is_lone(text) for text in found) >= _VARIANTS:
                break
        return found or [(Hole(expr, owner, frame=frame),)]

    def _alternatives(self, expr: ast.Name) -> Iterator[Binding]:
        """The bindings that a use can see, without those that a nearer `+=` only adds to."""
        hidden: set[Binding] = set()
        for binding in self._reaching(expr):
            if binding in hidden:
                continue
            match binding.node:
                case ast.AugAssign(target=ast.Name() as target):
                    hidden.update(self._reaching(target))
                case _:
                    pass
            yield binding

    def _reaching(self, expr: ast.Name) -> list[Binding]:
        if expr not in self._reached:
            self._reached[expr] = self._module.names.reaching(expr.id, expr)
        return self._reached[expr]

    def _bound(self, expr: ast.Name, binding: Binding, owner: ast.expr, frame: Frame | None) -> list[Text]:
        match binding.node:
            case ast.AugAssign(op=ast.Add(), target=ast.Name() as target, value=value):
                return _joined([self._texts(target, owner, frame), self._texts(value, value, frame)])
            case ast.arg() if frame and self._module.parent(self._module.parent(binding.node) or expr) is frame.helper:
                argument = frame.arguments.get(expr.id)
                return self._texts(argument, owner, frame.caller) if argument else [(Hole(expr, owner, frame=frame),)]
            case ast.Assign() | ast.AnnAssign() | ast.NamedExpr() if binding.value is not None:
                return self._texts(binding.value, owner, frame)
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Call() as call):
                return self._unpacked(expr, [ast.unparse(name) for name in names].index(expr.id), call, owner, frame)
            case _:
                return [(Hole(expr, owner, frame=frame),)]

    def _unpacked(self, expr: ast.expr, place: int, call: ast.Call, owner: ast.expr, frame: Frame | None) -> list[Text]:
        """`where, values = self._where(filters)`: that element of the tuple which the helper returns."""
        helper = self._module.names.definition(call)
        tuples = (
            [node.value for node in self._module.names.returns(helper) if isinstance(node.value, ast.Tuple)] if helper else []
        )
        values = [found.elts[place] for found in tuples if place < len(found.elts)]
        if helper is None or not values or (frame is not None and frame.helper is helper):
            return [(Hole(expr, owner, frame=frame),)]
        inner = Frame(helper, arguments_of(helper, call), frame)
        return [text for value in values for text in self._texts(value, owner, inner)]

    def _attribute(self, expr: ast.Attribute, owner: ast.expr, frame: Frame | None) -> list[Text]:
        """`self.query`, if the class says what it is and no method says otherwise."""
        around = self._module.enclosing(expr, ast.ClassDef)
        if around is None or not isinstance(expr.value, ast.Name) or expr.value.id not in {"self", "cls"}:
            return [(Hole(expr, owner, frame=frame),)]
        values = list(self._module.names.attributes(around).get(expr.attr, []))
        for cls in self._module.names.lineage(around):
            values += [binding.value for binding in self._module.names.own(cls).get(expr.attr, []) if binding.value is not None]
        grown = self._appended.get((around, f"self.{expr.attr}"), ())
        if len(values) != 1 or (isinstance(values[0], ast.Name) and not grown):
            return [(Hole(expr, owner, frame=frame),)]
        return _joined([self._texts(values[0], owner, None), *(self._texts(value, value, None) for value, _ in grown)])

    def _call(self, expr: ast.Call, owner: ast.expr, frame: Frame | None) -> list[Text]:
        name = self._module.names.dotted(expr.func)
        helper = self._module.names.definition(expr)
        match expr:
            case ast.Call(args=[value, *_]) if name in _WRAPPERS:
                return self._texts(value if name != "typing.cast" else expr.args[-1], owner, frame)
            case ast.Call(func=ast.Attribute(value=base, attr="format")) if not isinstance(base, ast.Call):
                return self._filled(self._texts(base, expr, frame), lambda: self._braces(expr, frame))
            case ast.Call(func=ast.Attribute(value=base, attr="join"), args=[parts]) if not isinstance(base, ast.Call):
                return self._put_together(self._texts(base, owner, frame), self._elements(parts, owner, frame))
            case ast.Call(func=ast.Attribute(value=base, attr="replace"), args=[ast.Constant(value=str() as old), new, *_]):
                return self._replaced(self._texts(base, owner, frame), old, self._texts(new, expr, frame))
            case ast.Call(func=ast.Attribute(value=base, attr="substitute" | "safe_substitute")):
                made = self._made_by(base)
                template = made.args[0] if made is not None and made.args else base
                return self._filled(self._texts(template, expr, frame), lambda: self._dollars(expr, frame))
            case ast.Call(func=ast.Attribute(value=ast.Name() as table, attr="get"), args=[_, *others]):
                return self._looked_up(expr, table, others, owner, frame)
            case ast.Call(func=ast.Attribute(value=base, attr=attr)) if attr in _TRIMMING:
                return self._texts(base, owner, frame)
            case _ if helper is not None:
                return self._returned(helper, expr, owner, frame)
            case _:
                return [(Hole(expr, owner, frame=frame),)]

    def _put_together(self, separators: list[Text], elements: list[list[Text]]) -> list[Text]:
        parts = [part for element in elements for part in (separators, element)]
        return _joined(parts[1:]) if parts else [("",)]

    def _replaced(self, templates: list[Text], old: str, new: list[Text]) -> list[Text]:
        found: list[Text] = []
        for template in templates:
            parts: list[list[Text]] = []
            for piece in template:
                kept = piece.split(old) if isinstance(piece, str) and old else [piece]
                for number, rest in enumerate(kept):
                    parts += [new, [(rest,)]] if number else [[(rest,)]]
            found += _joined(parts)
        return found

    def _returned(self, helper: Function, call: ast.Call, owner: ast.expr, frame: Frame | None) -> list[Text]:
        """What a helper returns for the arguments of one call."""
        inner = Frame(helper, arguments_of(helper, call), frame)
        values = [node.value for node in self._module.names.returns(helper) if node.value is not None]
        if frame is not None and frame.helper is helper:
            return [(Hole(call, owner, frame=frame),)]
        return [text for value in values for text in self._texts(value, owner, inner)] or [(Hole(call, owner, frame=frame),)]

    def _elements(self, expr: ast.expr, owner: ast.expr, frame: Frame | None) -> list[list[Text]]:
        """The texts of each element of something that is joined."""
        match expr:
            case ast.List(elts=values) | ast.Tuple(elts=values) | ast.Set(elts=values):
                return [part for value in values for part in self._element(value, owner, frame)]
            case ast.ListComp(elt=value) | ast.GeneratorExp(elt=value) | ast.SetComp(elt=value):
                return [self._texts(value, owner, frame)]
            case ast.BinOp(op=ast.Add(), left=left, right=right) | ast.IfExp(body=left, orelse=right):
                return self._elements(left, owner, frame) + self._elements(right, owner, frame)
            case ast.BinOp(op=ast.Mult(), left=value):
                return self._elements(value, owner, frame)
            case ast.Call(func=ast.Name(id="map"), args=[ast.Lambda(body=body), *_]):
                return [self._texts(body, owner, frame)]
            case ast.Call(func=ast.Name(id=name), args=[*_, value]) if name in _COLLECTING:
                return self._elements(value, owner, frame)
            case ast.Name():
                return self._listed(expr, owner, frame)
            case ast.Attribute() if grown := self._appended.get(self._key(expr) or (self._module.tree, ""), ()):
                return [part for value, many in grown for part in self._added(value, value, None, many=many)]
            case _:
                return [[(Hole(expr, owner, frame=frame),)]]

    def _element(self, value: ast.expr, owner: ast.expr, frame: Frame | None) -> list[list[Text]]:
        if isinstance(value, ast.Starred):
            return self._elements(value.value, owner, frame)
        return [self._texts(value, value, frame)]

    def _listed(self, expr: ast.Name, owner: ast.expr, frame: Frame | None) -> list[list[Text]]:
        """The elements of a list that is kept in a name: those it was made with, and those appended since."""
        if len(self._open) > _DEEPEST or (expr, frame) in self._open:
            return [[(Hole(expr, owner, frame=frame),)]]
        self._open.append((expr, frame))
        try:
            made = [self._made(expr, binding, owner, frame) for binding in self._module.names.reaching(expr.id, expr)]
            appended = self._appended.get((self._module.scope(expr), expr.id), ())
            added = [self._added(value, owner, frame, many=many) for value, many in appended]
        finally:
            self._open.pop()
        return [part for parts in [*reversed(made), *added] for part in parts] or [[(Hole(expr, owner, frame=frame),)]]

    def _added(self, value: ast.expr, owner: ast.expr, frame: Frame | None, *, many: bool) -> list[list[Text]]:
        return self._elements(value, owner, frame) if many else [self._texts(value, value, frame)]

    def _made(self, expr: ast.Name, binding: Binding, owner: ast.expr, frame: Frame | None) -> list[list[Text]]:
        match binding.node:
            case ast.AugAssign(value=value):
                return self._elements(value, value, frame)
            case ast.Assign() | ast.AnnAssign() if binding.value is not None:
                is_new = isinstance(binding.value, ast.Call) and not binding.value.args and not binding.value.keywords
                return [] if is_new else self._elements(binding.value, owner, frame)
            case _:
                return [[(Hole(expr, owner, frame=frame),)]]


def arguments_of(helper: Function, call: ast.Call) -> dict[str, ast.expr]:
    """What the parameters of a function stand for in one call of it; its defaults for those that the call leaves out."""
    positional = [*helper.args.posonlyargs, *helper.args.args]
    defaults = dict(
        zip([arg.arg for arg in positional[len(positional) - len(helper.args.defaults) :]], helper.args.defaults, strict=True)
    )
    only = zip(helper.args.kwonlyargs, helper.args.kw_defaults, strict=True)
    defaults |= {arg.arg: default for arg, default in only if default is not None}
    names = [arg.arg for arg in positional]
    if names[:1] in (["self"], ["cls"]) and isinstance(call.func, ast.Attribute):
        names = names[1:]
    given = {name: value for name, value in zip(names, call.args, strict=False) if not isinstance(value, ast.Starred)}
    return {**defaults, **given, **{keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}}


def parameter_owner(module: Module, parameter: ast.AST) -> Function | None:
    """The function whose parameter this is; None for a lambda's."""
    owner = module.parent(module.parent(parameter) or parameter)
    return owner if isinstance(owner, FUNCTIONS) else None


def _operands(expr: ast.BinOp) -> list[ast.expr]:
    """What a chain of `+` puts together, from left to right."""
    found: list[ast.expr] = []
    waiting: list[ast.expr] = [expr]
    while waiting:
        match waiting.pop():
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                waiting += [right, left]
            case operand:
                found.append(operand)
    return found


def _is_lone(text: Text) -> bool:
    return len(text) == 1 and isinstance(text[0], Hole)


def _joined(parts: Iterable[list[Text]]) -> list[Text]:
    """Texts one after the other. Each alternative of each part is in one of the results, not every combination of them."""
    kept = [part for part in parts if part]
    count = min(max(map(len, kept), default=1), _VARIANTS)
    return [tuple(piece for part in kept for piece in part[min(number, len(part) - 1)]) for number in range(count)]


def _entries(given: ast.expr) -> dict[str, ast.expr]:
    """The entries of a dict that is written out, or of a call of `dict`."""
    match given:
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return {key.value: value for key, value in pairs if isinstance(key, ast.Constant) and isinstance(key.value, str)}
        case ast.Call(func=ast.Name(id="dict"), keywords=keywords):
            return {keyword.arg: keyword.value for keyword in keywords if keyword.arg}
        case _:
            return {}


def _fields(template: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(Formatter().parse(template))
    except ValueError:
        return [(template, None, None, None)]
