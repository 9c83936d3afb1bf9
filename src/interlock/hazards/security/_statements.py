"""Which expressions of a module are run as SQL: what is handed to a database, directly or through the module's own helpers."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from interlock.core.pattern import pattern
from interlock.hazards.security._sql import compares, is_clause, is_pattern_match, is_statement
from interlock.source.sinks import words
from interlock.source.text import Hole, arguments_of, parameter_owner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.source.module import Function, Module
    from interlock.source.text import Text, Texts

# What the methods and functions that run a statement are called. The text must be a statement as well.
_RUNS: Final = pattern(
    r"(^|_)(execute|executemany|executescript|exec|query|queries|sql|multisql|raw|fetch|fetchrow|fetchval|fetchone|fetchall"
    r"|mogrify|scalar|scalars|select|prepare|run|cursor|iterate|stream|copy|text|statement|perform|first|one|all|command|cmd"
    r"|dataframe|df|rows|do|call|submit|explain|ddl)(_|$)"
)
# The names among them that take nothing but SQL, so that a part of a statement is enough to know it.
_RUNS_SQL: Final = pattern(
    r"^_*(execute|executemany|executescript|exec_driver_sql|raw|raw_sql|read_sql|read_sql_query|mogrify|extra|sql|text"
    r"|literal_column)$"
)
_CONDITION_KEYWORDS: Final = frozenset({"where", "having", "order_by", "select", "tables", "vars"})
_STATEMENT_KEYWORDS: Final = pattern(r"(^|_)(sql|query|statement|stmt|command|operation|q|text|clause|clauses)$")
_CONDITIONS: Final = frozenset({"filter", "where", "having", "order_by"})
_OPENINGS: Final = {
    "order_by": "ORDER BY ",
    "order": "ORDER BY ",
    "group_by": "GROUP BY ",
    "group": "GROUP BY ",
    "filter": "WHERE ",
    "where": "WHERE ",
    "having": "HAVING ",
}
# Functions that say of themselves that they make a statement for others to run.
_MAKES: Final = pattern(r"(^|_)(sql|query|statement|stmt)(_|$)")


def statements(module: Module, texts: Texts) -> Iterator[Text]:
    """Every SQL text of the module that is run and has at least one hole."""
    runners: dict[tuple[Function, str], None] = {}
    for call in module.nodes(ast.Call):
        for expr, is_sql in _handed_over(call, module):
            parameter = _parameter(expr, module)
            if parameter is not None:
                runners[parameter] = None
            yield from _sql_of(expr, texts, is_clause_enough=is_sql)
        for opening, expr in _clauses(call, module):
            yield from ((opening, *text) for text in texts.of(expr))
    yield from _through_helpers(module, texts, runners)
    for node in module.nodes(ast.Return):
        function = module.function(node)
        if node.value is not None and function is not None and _MAKES.search(words(function.name)) and _may_be_text(node.value):
            yield from (text for text in _sql_of(node.value, texts, is_clause_enough=False) if compares(text))


def _sql_of(expr: ast.expr, texts: Texts, *, is_clause_enough: bool) -> Iterator[Text]:
    for text in texts.of(expr):
        has_holes = any(isinstance(piece, Hole) for piece in text) and len(text) > 1
        if has_holes and (is_statement(text) or is_pattern_match(text) or (is_clause_enough and is_clause(text))):
            yield text


def _handed_over(call: ast.Call, module: Module) -> Iterator[tuple[ast.expr, bool]]:
    """What a call may run as SQL, and whether it takes nothing else."""
    name = words(call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", ""))
    takes_sql = _RUNS_SQL.match(name) is not None and (name != "text" or _is_alchemy(call.func, module))
    takes_conditions = name in _CONDITIONS and _has_alchemy(module)
    if takes_conditions or _RUNS.search(name) or takes_sql:
        yield from ((arg, takes_sql or takes_conditions) for arg in call.args if _may_be_text(arg))
    for keyword in call.keywords:
        if keyword.arg in _CONDITION_KEYWORDS and (takes_sql or _RUNS.search(name) or name in {"update", "delete"}):
            yield from ((value, True) for value in _values(keyword.value) if _may_be_text(value))
        elif keyword.arg and _STATEMENT_KEYWORDS.search(words(keyword.arg)) and _may_be_text(keyword.value):
            yield keyword.value, False


def _clauses(call: ast.Call, module: Module) -> Iterator[tuple[str, ast.expr]]:
    """What a query builder puts into its statement as it is, with the words that it puts before: `order_by(text(order))`."""
    match call:
        case ast.Call(func=function, args=[expr]) if _is_alchemy(function, module):
            around = module.parent(call)
            builder = around.func if isinstance(around, ast.Call) and around.func is not call else None
            name = builder.attr if isinstance(builder, ast.Attribute) else ""
            if words(ast.unparse(function).rpartition(".")[2]) in {"text", "literal_column"} and name in _OPENINGS:
                yield _OPENINGS[name], expr
        case ast.Call(func=ast.Attribute(attr="select" | "update" | "delete"), keywords=keywords):
            yield from (
                (_OPENINGS[keyword.arg], keyword.value)
                for keyword in keywords
                if keyword.arg in _OPENINGS and not isinstance(keyword.value, (ast.Dict, ast.List, ast.Tuple))
            )
        case _:
            pass


def _values(expr: ast.expr) -> list[ast.expr]:
    match expr:
        case ast.List(elts=values) | ast.Tuple(elts=values) | ast.Dict(values=values):
            return values
        case _:
            return [expr]


def _may_be_text(expr: ast.expr) -> bool:
    return not isinstance(expr, (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.Lambda, ast.Compare, ast.Starred))


def _is_alchemy(function: ast.expr, module: Module) -> bool:
    name = module.names.dotted(function)
    return name.startswith(("sqlalchemy", "sqlmodel", "sa.", "db."))


def _has_alchemy(module: Module) -> bool:
    bindings = (binding for found in module.names.own(module.tree).values() for binding in found)
    return any(binding.dotted.startswith(("sqlalchemy", "flask_sqlalchemy", "sqlmodel")) for binding in bindings)


def _parameter(expr: ast.expr, module: Module) -> tuple[Function, str] | None:
    """The function and its parameter that an expression is, if it is just that."""
    if not isinstance(expr, ast.Name):
        return None
    for binding in module.names.reaching(expr.id, expr):
        owner = parameter_owner(module, binding.node) if binding.is_parameter else None
        if owner is not None:
            return owner, expr.id
    return None


def _through_helpers(module: Module, texts: Texts, runners: dict[tuple[Function, str], None]) -> Iterator[Text]:
    """What the module's own functions are given to run, by their other callers in the module."""
    names = {function.name for function, _ in runners}
    calls: dict[Function, list[ast.Call]] = {}
    for call in module.nodes(ast.Call) if names else ():
        called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        helper = module.names.definition(call) if called in names else None
        if helper is not None:
            calls.setdefault(helper, []).append(call)
    for function, parameter in runners:
        for call in calls.get(function, ()):
            given = arguments_of(function, call).get(parameter)
            if given is not None:
                yield from _sql_of(given, texts, is_clause_enough=False)
