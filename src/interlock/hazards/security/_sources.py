"""Who decides what is put into a text: the client of a service, the caller of a function, an object's maker, a file, or the code itself."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from interlock.core.pattern import pattern
from interlock.hazards.security._callers import CHATTED, is_chat_handler, is_chat_object, is_handler
from interlock.source.origin import Kind, Part
from interlock.source.origins import looped_over
from interlock.source.sinks import words
from interlock.source.text import parameter_owner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.source.module import Function, Module
    from interlock.source.text import Frame, Hole

# The attributes of a request that hold what the client sent, in Django, Flask, Starlette, aiohttp, Sanic, Tornado, Pyramid and Bottle.
_SENT: Final = frozenset(
    "args form values json get_json data GET POST FILES files COOKIES cookies META headers query_params path_params query params match_info "
    "view_args body post read text rel_url query_string matchdict get_data arguments input stream".split()
)
_INJECTED: Final = frozenset({"Depends", "Security", "Provide", "Inject"})
_SQL_NAME: Final = pattern(
    r"(^|_)(sql|query|subquery|clause|expr|expression|placeholder|placeholders|condition|conditions|cte|stmt|statement|marks)$"
)
_WRITING: Final = frozenset("dumps dump packb safe_dump to_json serialize".split())
_TAKING: Final = frozenset(
    "split rsplit splitlines partition rpartition pop popleft strip lstrip rstrip replace format capitalize swapcase model_dump_json".split()
)
_DEEPEST: Final = 8  # Assignments and loops between a parameter and its use.
_FORM: Final = pattern(
    r"\b\w*form\.\w+\.data\b|\bcleaned_data\b|\bform_dict\b|\bweb\.input\(|\.text_input\(|\.get_(?:query_|body_)?arguments?\(|\.text_area\("
)
_READ_FROM_FILE: Final = pattern(r"\bopen\(|\bcsv\.|json\.load\(|read_csv|read_excel|\.iterrows\(|\.itertuples\(")
_READ_FROM_DATABASE: Final = pattern(
    r"fetch|execute|query|select|\.all\(|\.first\(|objects\b|sql|cursor|session|\.find|get_doc|get_all|get_value"
)


@dataclass(frozen=True, slots=True)
class Source:
    """Who decides what a value is."""

    is_request: bool
    is_caller: bool
    words: str  # for the message: `a parameter of find_user`
    is_foreign: bool = False  # read from somewhere that is not in sight


def is_made_text(value: ast.expr) -> bool:
    """Whether a value was turned into a text to be put in."""
    match value:
        case ast.Call(func=ast.Name(id="str" | "repr"), args=[ast.Call(func=ast.Name(id="tuple" | "list"))]):
            return False  # The texts in it bring their own quotes.
        case ast.Call(func=ast.Name(id="str" | "repr")):
            return True
        case ast.Call(func=ast.Name(id="map"), args=[ast.Name(id="str" | "repr"), *_]):
            return True
        case _:
            return False


def is_sql_itself(value: ast.expr, module: Module) -> bool:
    """Whether a value is SQL or a mark for a parameter, to judge by its name, or an object that prints itself, by its type."""
    name = value.id if isinstance(value, ast.Name) else value.attr if isinstance(value, ast.Attribute) else ""
    if _SQL_NAME.search(words(name)):
        return True
    parameter = _parameter_behind(value, module) if isinstance(value, ast.Name) else None
    match parameter:
        case ast.arg(annotation=ast.Name(id=kind) | ast.Attribute(attr=kind)):
            return kind[:1].isupper() and kind not in {
                "Any",
                "Text",
                "AnyStr",
                "Dict",
                "List",
                "Mapping",
                "Sequence",
                "Iterable",
            }
        case _:
            return False


def source_of(hole: Hole, module: Module) -> Source:
    """Who decides what is put into a hole; the nearest to an attacker, where there are several."""
    value = _given(hole.value, hole.frame, module)
    sources = list(_sources(value, module, _DEEPEST))
    sources.sort(key=lambda source: (not source.is_request, not source.is_caller))
    return sources[0] if sources else Source(is_request=False, is_caller=False, words="made elsewhere")


def _sources(value: ast.expr, module: Module, depth: int) -> Iterator[Source]:
    """Who decides each part of a value. What is taken from a text, or wraps it, is decided by who decides the text."""
    for part in module.origins.of(value).variable:
        inner = _taken_from(part.site, module) if part.kind is Kind.UNKNOWN and depth else None
        yield _source_of(part, module)
        if inner is not None:
            yield from _sources(inner, module, depth - 1)


def _taken_from(site: ast.expr, module: Module) -> ast.expr | None:
    """The text of which a value is a piece, or the value that it writes out: `words` of `words[1]`, `data` of `pickle.dumps(data)`."""
    match site:
        case ast.Subscript(value=value):
            return value
        case ast.Call(func=ast.Attribute(attr=attr) | ast.Name(id=attr), args=[value, *_]) if attr in _WRITING:
            return value
        case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr in _TAKING:
            return value
        case ast.Name():
            bindings = module.names.reaching(site.id, site)
            return looped_over(module, bindings[0].node) or bindings[0].value if len(bindings) == 1 else None
        case _:
            return None


def _given(value: ast.expr, frame: Frame | None, module: Module) -> ast.expr:
    """What a helper's parameter stands for in the call through which the text was reached."""
    while frame is not None and isinstance(value, ast.Name):
        parameter = _parameter_behind(value, module)
        if parameter is None or parameter_owner(module, parameter) is not frame.helper or value.id not in frame.arguments:
            break
        value, frame = frame.arguments[value.id], frame.caller
    return value


def _source_of(part: Part, module: Module) -> Source:
    parameter = _parameter_behind(part.site, module)
    owner = parameter_owner(module, parameter) if parameter is not None else None
    if (part.kind is Kind.REQUEST and _is_sent(part, parameter)) or _is_form(part.site, module):
        return Source(is_request=True, is_caller=True, words="from the request")
    if (
        part.kind in {Kind.CALLER, Kind.REQUEST}
        and owner is not None
        and parameter is not None
        and not _is_injected(owner, parameter)
    ):
        return _given_by_caller(owner, parameter, part, module)
    if part.kind is Kind.STORED and isinstance(part.site, ast.Attribute):
        return Source(is_request=False, is_caller=True, words="kept on the object", is_foreign=True)
    if part.kind is Kind.UNKNOWN and _is_foreign(part.site, module):
        return Source(is_request=False, is_caller=True, words="from outside", is_foreign=True)
    return Source(is_request=False, is_caller=False, words="made elsewhere")


def _given_by_caller(owner: Function, parameter: ast.arg, part: Part, module: Module) -> Source:
    if parameter.arg in {"self", "cls"}:
        return Source(is_request=False, is_caller=True, words="given to the object when it was made")
    if is_chat_handler(owner, module):
        is_text = not is_chat_object(owner, parameter) or not CHATTED.isdisjoint(part.name.split("."))
        return Source(is_request=is_text, is_caller=is_text, words=f"written by whoever calls `{owner.name}` in the chat")
    if is_handler(owner, module):
        return Source(is_request=True, is_caller=True, words=f"a parameter of the route `{owner.name}`")
    return Source(is_request=False, is_caller=True, words=f"a parameter of `{owner.name}`")


def _is_form(site: ast.expr, module: Module) -> bool:
    """A field of a submitted form, or of a page that asks its reader: `form.name.data`, `web.input().name`."""
    text = module.segment(_root_value(site, module) or site) + module.segment(site)
    return _FORM.search(text) is not None


def _is_foreign(site: ast.expr, module: Module) -> bool:
    """Whether a value that nothing is known of is an entry of raw data, or typed in by a person; rows of the database are not."""
    match site:
        case ast.Call(func=ast.Name(id="input")):
            return True
        case (
            ast.Subscript(slice=ast.Constant(value=str())) | ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(), *_])
        ):
            behind = [module.segment(value) for value in _values_behind(site, module)]
            return bool(behind) and not any(_READ_FROM_DATABASE.search(text) for text in behind)
        case ast.Call(func=ast.Attribute(attr="get" | "text" | "toPlainText" | "currentText"), args=[]):
            return True  # The fields of a desktop program's forms.
        case ast.Name():
            return any(_READ_FROM_FILE.search(module.segment(value)) for value in _values_behind(site, module))
        case _:
            return False


def _is_sent(part: Part, parameter: ast.arg | None) -> bool:
    """Whether a part of a request is what the client wrote, and not what the framework adds, such as `request.user`."""
    _, _, attribute = part.name.partition("request.")
    is_body = (
        parameter is not None
        and parameter.annotation is not None
        and not ast.unparse(parameter.annotation).endswith(("Request", "Request'"))
    )
    return attribute.split(".")[0] in _SENT or is_body


def _root(expr: ast.expr, module: Module) -> ast.Name | None:
    """The name through which an expression reaches its value: `order` of `order.lines[0]["name"]`, or of `json.loads(order)`."""
    while not isinstance(expr, ast.Name):
        match expr:
            case ast.Call(func=function, args=[value, *_]) if module.names.dotted(function):
                expr = value
            case (
                ast.Attribute(value=value)
                | ast.Subscript(value=value)
                | ast.Call(func=ast.Attribute(value=value))
                | ast.Await(value=value)
            ):
                expr = value
            case _:
                return None
    return expr


def _root_value(expr: ast.expr, module: Module) -> ast.expr | None:
    """What the name at the root of an expression was assigned, or what it runs over."""
    root = _root(expr, module)
    for binding in module.names.reaching(root.id, root) if root is not None else ():
        value = looped_over(module, binding.node) or binding.value
        if value is not None:
            return value
    return None


def _values_behind(expr: ast.expr, module: Module) -> Iterator[ast.expr]:
    """What a value was reached through, from assignment to assignment."""
    for _ in range(_DEEPEST):
        value = _root_value(expr, module)
        if value is None or value is expr:
            break
        yield value
        expr = value


def _parameter_behind(expr: ast.expr, module: Module) -> ast.arg | None:
    """The parameter through which an expression reaches its value, through loops and assignments."""
    for _ in range(_DEEPEST):
        root = _root(expr, module)
        bindings = module.names.reaching(root.id, root) if root is not None else []
        parameter = next((binding.node for binding in bindings if isinstance(binding.node, ast.arg)), None)
        value = _root_value(expr, module) if parameter is None else None
        if value is None or value is expr:
            return parameter
        expr = value
    return None


def _is_injected(owner: Function, parameter: ast.arg) -> bool:
    """Whether the framework makes the argument: FastAPI's `Depends` and the like."""
    positional = [*owner.args.posonlyargs, *owner.args.args]
    pairs = [
        *zip(reversed(positional), reversed(owner.args.defaults), strict=False),
        *zip(owner.args.kwonlyargs, owner.args.kw_defaults, strict=True),
    ]
    default = next((default for arg, default in pairs if arg is parameter), None)
    texts = [ast.unparse(node) for node in (default, parameter.annotation) if node is not None]
    return any(f"{name}(" in text for name in _INJECTED for text in texts)
