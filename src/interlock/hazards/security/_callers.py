"""Who calls a function from outside: the client of a service, the member of a chat, or the operator at a command line.

A client and a member of a chat send what they like. An operator may run any statement as it is, so that what he types harms nobody.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from interlock.core.pattern import pattern

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

    from interlock.source.module import Function, Module

_ROUTES: Final = frozenset(
    "get post put delete patch head options route websocket api_route api_view action endpoint view whitelist tool".split()
)
_VIEW_BASES: Final = pattern(r"(View|Resource|ViewSet|RequestHandler|HTTPEndpoint|Controller)$")
_VIEW_METHODS: Final = frozenset(
    "get post put delete patch head options list create retrieve update destroy partial_update".split()
)
_CHATS: Final = pattern(
    r"(discord|nextcord|disnake|interactions|telegram|telebot|aiogram|pyrogram|telethon|slack_bolt|slack_sdk|twitchio|nio|vkbottle"
    r"|linebot|botbuilder|mattermostdriver|irc)(\.|$)"
)
_SHELLS: Final = pattern(r"(click|asyncclick|rich_click|typer|cyclopts|cleo|flask|quart)(\.|$)")
# What decorates the functions that a chat library calls; elsewhere these names mean something else.
_HEARS: Final = pattern(
    r"(^|_)(command|commands|event|listen|listener|message|handler|query|on|action|shortcut|view|menu|group)(_|$)"
)
_CHAT_OBJECTS: Final = frozenset("update context ctx message interaction event payload call callback_query".split())
_CHAT_TYPES: Final = pattern(r"(Update|Context|ContextTypes\.\w+|Interaction|Message|CallbackQuery)\W*$")
# The attributes of a chat library's objects that hold what a person wrote; the others are numbers and the library's own objects.
CHATTED: Final = frozenset(
    "content clean_content text caption data args name nick display_name global_name username first_name last_name full_name title "
    "topic filename file_name description query values options custom_id user_input arguments".split()
)


def is_handler(function: Function, module: Module) -> bool:
    """Whether a framework calls this function with what a client sent."""
    if is_chat_handler(function, module):
        return True
    decorators = [decorator.func if isinstance(decorator, ast.Call) else decorator for decorator in function.decorator_list]
    if any(isinstance(decorator, ast.Attribute) and decorator.attr in _ROUTES for decorator in decorators):
        return True
    if any(
        isinstance(decorator, ast.Name) and decorator.id in {"api_view", "route", "tool", "whitelist"}
        for decorator in decorators
    ):
        return True
    names = [arg.arg for arg in (*function.args.posonlyargs, *function.args.args)]
    if names[:1] == ["request"] or names == ["event", "context"]:
        return True
    owner = module.scope(function)
    if not isinstance(owner, ast.ClassDef):
        return False
    is_view = any(_VIEW_BASES.search(ast.unparse(base)) for base in owner.bases)
    return function.name in {"GET", "POST"} or (is_view and (function.name in _VIEW_METHODS or names[1:2] == ["request"]))


def is_chat_handler(function: Function, module: Module) -> bool:
    """Whether a chat library calls this function with what a person wrote: `@bot.command`, `on_message`, `start(update, context)`."""
    if not _imports(module, _CHATS):
        return False
    called = [_called(decorator) for decorator in function.decorator_list]
    return (
        any(_HEARS.search(name.rpartition(".")[2]) for name in called)
        or function.name == "on_message"
        or any(arg.annotation is not None and _CHAT_TYPES.search(ast.unparse(arg.annotation)) for arg in _positional(function))
    )


def is_chat_object(function: Function, parameter: ast.arg) -> bool:
    """Whether a parameter of a chat's handler is an object of the library and not a text: the event, or a member of the chat."""
    if parameter.annotation is not None:
        kind = ast.unparse(parameter.annotation).rpartition(".")[2].strip("'\" ")
        return kind[:1].isupper() and not kind.startswith(("Optional[str", "Any", "Text"))
    return parameter.arg in _CHAT_OBJECTS or parameter in _positional(function)[:1]


def is_operated(function: Function, module: Module) -> bool:
    """Whether an operator calls the function from a command line."""
    owner = module.scope(function)
    if isinstance(owner, ast.ClassDef):
        is_command = function.name == "handle" and any(ast.unparse(base).endswith("Command") for base in owner.bases)
    else:
        takes_request = any(
            "Request" in ast.unparse(arg.annotation) for arg in function.args.args if arg.annotation is not None
        )
        is_command = function.name == "main" and isinstance(owner, ast.Module) and not takes_request
    return is_command or any(_is_shell_command(name, function, module) for name in _names(function, module))


def _is_shell_command(name: str, function: Function, module: Module) -> bool:
    """Chat bots have a `.command` too, but their functions are asynchronous, and those of a command line are not."""
    if name.startswith(("click.", "typer.")):
        return True
    is_bot = isinstance(function, ast.AsyncFunctionDef) and not _imports(module, _SHELLS)
    return name.endswith(".command") and not is_bot and not _imports(module, _CHATS)


def _names(function: Function, module: Module) -> Iterator[str]:
    for name, decorator in module.names.decorators(function):
        yield from (name, _called(decorator))


def _called(decorator: ast.expr) -> str:
    return ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)


def _positional(function: Function) -> list[ast.arg]:
    found = [*function.args.posonlyargs, *function.args.args]
    return found[1:] if found and found[0].arg in {"self", "cls"} else found


def _imports(module: Module, packages: re.Pattern[str]) -> bool:
    bindings = (binding for found in module.names.own(module.tree).values() for binding in found)
    return any(packages.match(binding.dotted) for binding in bindings if binding.dotted)
