"""Which function of this module a call runs, methods of local objects included."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from interlock.source.module import FUNCTIONS

if TYPE_CHECKING:
    from interlock.source.module import Function, Module


def run_by(call: ast.Call, module: Module) -> Function | None:
    """The function of this module that a call runs: by its name, through `self`, or as a method of an object of a local class."""
    found = module.names.definition(call)
    if found is not None or not isinstance(call.func, ast.Attribute):
        return found
    owner = _class_of(call.func.value, module)
    return module.names.method(owner, call.func.attr) if owner is not None else None


def _class_of(expr: ast.expr, module: Module) -> ast.ClassDef | None:
    """The class of this module whose object an expression is: `Client()`, a name or attribute that holds one, an annotated parameter."""
    match expr:
        case ast.Call(func=ast.Name(id=name)):
            return _class_named(name, expr, module)
        case ast.Name(id=name):
            for binding in module.names.lookup(name, expr):
                if isinstance(binding.annotation, ast.Name):
                    return _class_named(binding.annotation.id, expr, module)
                if isinstance(binding.value, ast.Call) and isinstance(binding.value.func, ast.Name):
                    return _class_named(binding.value.func.id, binding.value, module)
            return None
        case ast.Attribute(value=ast.Name(id="self"), attr=attr):
            owner = module.enclosing(expr, ast.ClassDef)
            values = module.names.attributes(owner).get(attr, []) if owner else []
            return _class_of(values[0], module) if values and isinstance(values[0], ast.Call) else None
        case _:
            return None


def _class_named(name: str, at: ast.AST, module: Module) -> ast.ClassDef | None:
    return next((binding.node for binding in module.names.lookup(name, at) if isinstance(binding.node, ast.ClassDef)), None)


def function_named(expr: ast.expr, module: Module) -> Function | None:
    match expr:
        case ast.Name(id=name):
            found = [binding.node for binding in module.names.lookup(name, expr)]
            return found[-1] if found and isinstance(found[-1], FUNCTIONS) else None
        case ast.Call(func=func, args=[target, *_]) if module.names.dotted(func) == "functools.partial":
            return function_named(target, module)
        case ast.Attribute(value=ast.Name(id="self"), attr=attr):
            owner = module.enclosing(expr, ast.ClassDef)
            return module.names.method(owner, attr) if owner else None
        case _:
            return None
