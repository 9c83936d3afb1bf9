"""A caller's text becomes part of a SQL statement, and the database reads it as SQL.

## What happens
`f"SELECT * FROM users WHERE name = '{name}'"` is fine until the name holds a quote. `O'Brien` is an error; `' OR '1'='1` closes the
text and adds a condition that is true for every row, so that one user reads the data of all. In an UPDATE or a DELETE the same
text changes or removes every row. Where the driver runs several statements at once, anything may follow.

## Why tests miss it
A test looks for `alice`. Every value in the tests is one that a programmer thought of, and no programmer's name has a quote in it.

## What to write instead
Leave the value out of the text and hand it over as a parameter: `execute("... WHERE name = %s", (name,))`, with the mark of your
driver: `%s`, `?`, `:name`, `$1`. For a list, make as many marks as there are values, or pass the list itself where the database takes
one (`= ANY(%s)`). A table, a column or a sort order cannot be a parameter: look it up in a dict of those that are allowed, or
quote it with the driver's own function (`psycopg.sql.Identifier`, `connection.ops.quote_name`).

## Where it comes from
The first of the four kinds of vulnerability that code written by assistants has 2.74 times as often as other code. The oldest rule
of all security checkers finds it, and so much else with it that it is switched off; here a value must come from outside,
and must stand where a parameter could have stood.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from interlock.core.finding import Confidence, Severity
from interlock.core.pattern import pattern
from interlock.hazards.hazard import Hazard, Mutant
from interlock.hazards.security._inert import Inert, is_plain_spec
from interlock.hazards.security._sources import is_made_text, is_sql_itself, source_of
from interlock.hazards.security._sql import Place, Position, places
from interlock.hazards.security._statements import statements
from interlock.source.edit import Edit, edited
from interlock.source.text import Texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.core.finding import Finding
    from interlock.hazards.security._sources import Source
    from interlock.source.module import Module

HAZARD = Hazard(
    __name__,
    severity=Severity.CRITICAL,
    advice='hand the value over as a parameter: execute("... = %s", (value,)); look names and sort orders up in a dict of allowed ones',
    needles=(
        (
            b"SELECT",
            b"select",
            b"Select",
            b"INSERT",
            b"insert",
            b"UPDATE",
            b"update",
            b"DELETE",
            b"delete",
            b"WHERE",
            b"where",
            b"extra(",
            b"order",
            b"ORDER",
            b"IDENTIFIED",
            b"PASSWORD",
        ),
        (
            b"execute",
            b"query",
            b"Query",
            b"QUERY",
            b"sql",
            b"SQL",
            b"raw(",
            b"extra(",
            b"text(",
            b"fetch",
            b"cursor",
            b"db",
            b"conn",
        ),
    ),
    signal="statements that the database has not seen before; syntax errors near a quote; rows returned per call rise",
    scenario="a name with a quote in it",
    sources=(
        "https://cwe.mitre.org/data/definitions/89.html",
        "https://cheatsheetseries.owasp.org/cheatsheets/Query_Parameterization_Cheat_Sheet.html",
        "https://docs.djangoproject.com/en/5.2/topics/db/sql/#passing-parameters-into-raw",
    ),
)

_MARK: Final = pattern(r"%s|\?|(?<![:\w]):(?P<key>[a-z]\w*)|\$1\b")
_LONGEST_VALUE: Final = 40


@HAZARD.detects(ast.Module)
def detect(_: ast.Module, module: Module) -> Iterator[Finding]:
    """Every SQL text with a hole for a value from outside; one finding for each string expression, for its worst hole."""
    inert = Inert(module)
    worst: dict[ast.expr, tuple[int, Finding]] = {}
    for text in statements(module, Texts(module)):
        for place in places(text):
            source = source_of(place.hole, module)
            if _is_open(place, source, inert, module):
                rank = (not source.is_request) * 4 + source.is_foreign * 2 + (place.position is not Position.QUOTED)
                known = worst.get(place.hole.text)
                if known is None or rank < known[0]:
                    confidence = Confidence.HIGH if rank <= 4 else Confidence.MEDIUM  # noqa: PLR2004 - a caller's text in quotes.
                    worst[place.hole.text] = (
                        rank,
                        HAZARD.finding(module, place.hole.text, _message(place, source, module), confidence),
                    )
    yield from sorted((finding for _, finding in worst.values()), key=lambda finding: finding.location)


def _is_open(place: Place, source: Source, inert: Inert, module: Module) -> bool:
    """Whether a text from outside can get into the statement at this place, where it did not have to."""
    value = place.hole.value
    match place.position:
        case Position.PARAMETER:
            return False
        case Position.NAME | Position.NUMBER:
            may_be = source.is_request
        case Position.VALUE:
            # Without quotes around it, a text is no SQL value: what is turned into one with `str` was a number, and so are the
            # attributes of objects that stand here, or they are SQL.
            is_text = (
                not isinstance(value, ast.Attribute)
                and not place.hole.is_entry
                and not is_made_text(value)
                and not is_sql_itself(value, module)
            )
            may_be = source.is_request or (source.is_caller and not source.is_foreign and is_text)
        case Position.QUOTED:
            may_be = source.is_caller and (source.is_request or not is_sql_itself(value, module))
    return may_be and not is_plain_spec(place.hole.spec) and not inert.holds(value, place.hole.frame)


_HARMS: Final = {"SELECT": "matches every row", "DELETE": "deletes every row", "UPDATE": "changes every row"}


def _message(place: Place, source: Source, module: Module) -> str:
    value = " ".join(module.segment(place.hole.value).split())
    value = value if len(value) <= _LONGEST_VALUE else value[: _LONGEST_VALUE - 3] + "..."
    statement = place.verb if place.verb in {*_HARMS, "INSERT", "WITH", "REPLACE", "MERGE"} else "statement"
    harm = _HARMS.get(place.verb, "ends the value, and what follows it is run")
    match place.position:
        case Position.QUOTED:
            return f"`{value}` ({source.words}) stands inside quotes in this {statement}: ' OR '1'='1 in it {harm}"
        case Position.VALUE:
            return f"`{value}` ({source.words}) is a value in this {statement}, but not a parameter: 0 OR 1=1 in it {harm}"
        case _:
            return f"`{value}` ({source.words}) becomes a part of this {statement} itself: a subquery or a condition in it is run as SQL"


@HAZARD.injects
def inject(module: Module) -> Iterator[Mutant]:
    """Puts the value into the text where a parameter was: `= %s`, `?`, `:name` and `$1` become `= '{value}'`."""
    for call in module.nodes(ast.Call):
        match call:
            case ast.Call(
                func=ast.Attribute(attr="execute" | "fetch" | "fetchrow" | "raw"),
                args=[ast.Constant(value=str()) as sql, *given],
            ) if given:
                yield from _planted(module, sql, given)
            case _:
                pass


def _planted(module: Module, sql: ast.Constant, given: list[ast.expr]) -> Iterator[Mutant]:
    text = module.segment(sql)
    mark = _MARK.search(text)
    value = _first_value(given, mark.group("key") or "") if mark else None
    if mark is None or value is None or not text.startswith('"') or _is_kept_out(value, module):
        return
    written = module.segment(value)
    head, tail = text[: mark.start()].replace("{", "{{"), text[mark.end() :].replace("}", "}}")
    planted = f"f{head}'{{{written}}}'{tail}"
    yield Mutant(
        sql.lineno,
        f"`{written}` is put into the text",
        edited(module, [Edit(module.start(sql), module.end(given[0]), planted)]),
    )


def _first_value(given: list[ast.expr], key: str) -> ast.expr | None:
    """The value that the first mark stands for."""
    match given[0]:
        case ast.Tuple(elts=[value, *_]) | ast.List(elts=[value, *_]):
            return value
        case ast.Dict(keys=keys, values=values):
            return next(
                (
                    value
                    for name, value in zip(keys, values, strict=True)
                    if isinstance(name, ast.Constant) and name.value == key
                ),
                None,
            )
        case ast.Name() as value:
            return value
        case _:
            return None


def _is_kept_out(value: ast.expr, module: Module) -> bool:
    """Whether a value would do no harm, or cannot be written inside a text as it is."""
    written = module.segment(value)
    return not {"'", '"', "\n", "\\", "{"}.isdisjoint(written) or Inert(module).holds(value)


BAD = (
    """
def find_user(cursor, name):
    cursor.execute(f"SELECT id FROM users WHERE name = '{name}'")  # expect: security/sql-injection
    cursor.execute("SELECT id FROM users WHERE name = '%s'" % name)  # expect: security/sql-injection
    cursor.execute("SELECT id FROM users WHERE name = '{}'".format(name))  # expect: security/sql-injection
    cursor.execute("SELECT id FROM users WHERE name = '" + name + "'")  # expect: security/sql-injection
    cursor.execute("DELETE FROM users WHERE id = %s" % name)  # expect: security/sql-injection
    cursor.execute("SELECT id FROM users WHERE name = '$NAME'".replace("$NAME", name))  # expect: security/sql-injection
    return cursor.fetchall()
""",
    """
from fastapi import Depends, FastAPI
from sqlalchemy import text

app = FastAPI()

@app.get("/users")
async def users(name: str, sort: str = "id", session=Depends(get_session)):
    await session.execute(text(f"SELECT * FROM users WHERE name = '{name}'"))  # expect: security/sql-injection
    query = f"SELECT * FROM users ORDER BY {sort}"  # expect: security/sql-injection
    return await session.execute(text(query))

@app.post("/items")
async def create(item: Item):
    statement = f"UPDATE items SET name = '{item.name}' WHERE id = {item.id}"  # expect: security/sql-injection
    await database.execute(query=statement)
""",
    """
from flask import request

@app.route("/login", methods=["POST"])
def login():
    username = request.form["username"]
    sql = "SELECT id FROM users WHERE name = '" + username + "'"  # expect: security/sql-injection
    cursor = get_db().cursor()
    cursor.execute(sql)
    data = request.get_json()
    cursor.execute("SELECT * FROM items WHERE id = {}".format(data["id"]))  # expect: security/sql-injection
    for key, value in data.items():
        cursor.execute(f"UPDATE users SET {key} = '{value}' WHERE id = 1")  # expect: security/sql-injection
    cursor.execute("SELECT * FROM " + request.args["table"])  # expect: security/sql-injection
""",
    """
from django.db import connection
from django.views import View

class SearchView(View):
    def get(self, request):
        term = request.GET.get("q", "")
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT id FROM products WHERE title ILIKE '%{term}%'")  # expect: security/sql-injection
        Product.objects.extra(where=[f"title = '{term}'"])  # expect: security/sql-injection
        return Product.objects.raw("SELECT * FROM products ORDER BY " + self.request.GET["order"])  # expect: security/sql-injection
""",
    """
def find(connection, filters, name=None):
    sql = "SELECT * FROM orders WHERE 1 = 1"
    if filters.get("city"):
        sql += f" AND city = '{filters['city']}'"  # expect: security/sql-injection
    conditions = []
    if name:
        conditions.append("name = '%s'" % name)  # expect: security/sql-injection
    if conditions:
        sql += " AND " + " AND ".join(conditions)
    return connection.execute(sql)

def delete(connection, names):
    quoted = ", ".join(f"'{name}'" for name in names)  # expect: security/sql-injection
    connection.execute(f"DELETE FROM orders WHERE name IN ({quoted})")
""",
    """
class Orders:
    def __init__(self, connection):
        self.connection = connection

    def _load(self, sql):
        cursor = self.connection.cursor()
        cursor.execute(sql)
        return cursor.fetchall()

    def by_customer(self, customer):
        return self._load(f"SELECT * FROM orders WHERE customer = '{customer}'")  # expect: security/sql-injection

    def _where(self, filters):
        values = []
        clause = "WHERE city = '{}'".format(filters.get("city"))  # expect: security/sql-injection
        return clause, values

    def by_city(self, filters):
        where, values = self._where(filters)
        return self.connection.execute("SELECT * FROM orders " + where, values)
""",
    """
import json
from psycopg import sql

def load(connection, path):
    for row in json.load(open(path)):
        connection.execute(f"INSERT INTO people VALUES ('{row['name']}')")  # expect: security/sql-injection

def find(connection, name):
    connection.execute(sql.SQL(f"SELECT * FROM people WHERE name = '{name}'"))  # expect: security/sql-injection
""",
    """
import discord
from discord.ext import commands
from telegram import Update

bot = commands.Bot(command_prefix=".")

@bot.command(pass_context=True)
async def search(ctx, kind, name):
    cursor.execute("SELECT * FROM gyms WHERE name LIKE '%" + str(name) + "%'")  # expect: security/sql-injection
    cursor.execute(f"UPDATE users SET name = '{ctx.author.name}' WHERE id = {ctx.author.id}")  # expect: security/sql-injection

@bot.tree.command(name="top")
async def top(interaction: discord.Interaction, column: str):
    await db.fetch(f"SELECT * FROM users ORDER BY {column}")  # expect: security/sql-injection

@bot.event
async def on_message(message):
    words = message.content.split()
    cursor.execute(f"SELECT * FROM words WHERE word = '{words[1]}'")  # expect: security/sql-injection

async def start(update: Update, context):
    name = " ".join(context.args)
    cursor.execute(f"SELECT * FROM users WHERE name = '{name}'")  # expect: security/sql-injection
""",
    """
import sqlalchemy as s
import pandas as pd

class Repositories:
    def _query(self, source, **filters):
        query = "SELECT * FROM repositories"
        search = filters.get("search")
        columns = filters.get("columns") or ["name", "owner"]
        if search:
            query = f"SELECT * FROM ({query}) found"
            query += f" WHERE {columns.pop(0)} ILIKE '%{search}%'"  # expect: security/sql-injection
            for column in columns:
                query += f" OR {column} ILIKE '%{search}%'"  # expect: security/sql-injection
        return query, {"status": "success"}

    def page(self, source, **filters):
        query = self._query(source, **filters)
        return pd.read_sql(s.sql.text(query[0]), self.engine)

    def of_user(self, user_id):
        return self.session.execute_sql(s.sql.text(f"SELECT * FROM r WHERE user_id={user_id}"))  # expect: security/sql-injection

def user_sql(name):
    return f"SELECT * FROM users WHERE name = '{name}'"  # expect: security/sql-injection
""",
    """
import json
import pickle
from string import Template

QUERIES = {"by_name": "SELECT * FROM users WHERE name = '{name}'", "all": "SELECT * FROM users"}

class Query:
    def __init__(self, connection):
        self.connection = connection
        self.sql = "SELECT * FROM users WHERE 1 = 1"
        self.conditions = []

    def named(self, name):
        self.sql += f" AND name = '{name}'"  # expect: security/sql-injection

    def within(self, city):
        self.conditions.append(f"city = '{city}'")  # expect: security/sql-injection

    def run(self):
        self.connection.execute("SELECT * FROM users WHERE " + " AND ".join(self.conditions))
        return self.connection.execute(self.sql)

def keep(connection, name, data, keys):
    connection.execute("UPDATE kept SET value = '%s'" % json.dumps(data))  # expect: security/sql-injection
    connection.execute(f"UPDATE kept SET value = '{pickle.dumps(data)}'")  # expect: security/sql-injection
    connection.execute(QUERIES["by_name"].format(name=name))  # expect: security/sql-injection
    connection.execute(Template("DELETE FROM kept WHERE name = '$name'").substitute(name=name))  # expect: security/sql-injection
    connection.execute(f"SELECT * FROM kept WHERE name IN {str(tuple(keys))}")  # expect: security/sql-injection

def create(connection, user, kind, password):
    suffixes = {"password": "IDENTIFIED BY '%s'", "external": "IDENTIFIED EXTERNALLY"}
    statement = "ALTER USER shop "
    statement += suffixes.get(kind, "") % password  # expect: security/sql-injection
    connection.execute(statement)
""",
    """
import web
from flask import request
from sqlalchemy import text

def lambda_handler(event, context):
    return db.execute(f"SELECT * FROM {event['table']}")  # expect: security/sql-injection

@app.route("/users")
def users():
    order = request.args.get("order", "id")
    found = session.query(User).order_by(text(f"{order} DESC"))  # expect: security/sql-injection
    return found, db.select("users", order=order)  # expect: security/sql-injection

def requests(mode, order: str | None = None):
    options = {"limit": 10}
    if order:
        options["order"] = order
    return web.database().select("requests", **options)  # expect-later: security/sql-injection
""",
    """
def find(cursor, name):
    query = "SELECT * FROM people WHERE name = '{name}'"
    cursor.execute(query.format(**locals()))  # expect-later: security/sql-injection

def grant(cursor, user):
    cursor.execute(f"GRANT ALL ON orders TO {user}")  # expect-later: security/sql-injection
""",
)

GOOD = (
    """
def find_user(cursor, name, ids):
    cursor.execute("SELECT id FROM users WHERE name = %s", (name,))
    cursor.execute("SELECT id FROM users WHERE name = ?", [name])
    cursor.execute("SELECT id FROM users WHERE name = :name", {"name": name})
    cursor.execute("SELECT id FROM users WHERE id IN (%s)" % ", ".join("?" for _ in ids), ids)
    cursor.execute(f"SELECT id FROM users WHERE id IN ({', '.join(['%s'] * len(ids))})", ids)
    cursor.execute(f"SELECT id FROM users WHERE id IN ({', '.join(str(int(i)) for i in ids)})")
    return cursor.fetchall()
""",
    """
from typing import Literal
from uuid import UUID
from fastapi import FastAPI
from sqlalchemy import text

app = FastAPI()

@app.get("/users")
async def users(sort: Literal["id", "name"], owner: UUID, limit: int = 10, name: str | None = None):
    statement = f"SELECT * FROM users WHERE owner = '{owner}'"
    parameters = {}
    if name:
        statement += " AND name LIKE :name"
        parameters["name"] = f"%{name}%"
    await session.execute(text(statement + f" ORDER BY {sort} LIMIT {limit}"), parameters)
""",
    """
import re
from flask import request

SORTS = {"newest": "created_at DESC", "name": "name ASC"}
COLUMNS = ("id", "name")

@app.route("/users")
def users():
    order = SORTS.get(request.args.get("sort"), "id")
    column = request.args["column"]
    if column not in COLUMNS:
        abort(400)
    page = int(request.args.get("page", 1))
    direction = "DESC" if request.args.get("desc") else "ASC"
    query = f"SELECT {column} FROM users ORDER BY {order} {direction} LIMIT 10 OFFSET {(page - 1) * 10}"
    code = request.args["code"]
    if not re.fullmatch("[A-Z]{3}", code):
        raise ValueError(code)
    return db.execute(query), db.execute(f"SELECT * FROM countries WHERE code = '{code}'")
""",
    """
from django.db import connection
from psycopg import sql

def value_of(cursor, table, column, key):
    cursor.execute(f"SELECT {column} FROM {table} WHERE id = %s", (key,))
    cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)} WHERE id = %s", [key])
    cursor.execute(sql.SQL("SELECT {} FROM {} WHERE id = %s").format(sql.Identifier(column), sql.Identifier(table)), (key,))
    cursor.execute(f"SELECT data_type FROM information_schema.columns WHERE table_name = '{table}'")
""",
    """
import datetime
from shop import settings

class Orders:
    table = "orders"

    def _with(self, status):
        return self.connection.execute(f"SELECT * FROM {self.table} WHERE status = '{status}'")

    def open(self):
        return self._with("open")

    def closed(self):
        return self._with("closed")

    def where(self, condition="1 = 1", values=()):
        return self.connection.execute(f"SELECT * FROM {self.table} WHERE {condition}", values)

    def recent(self, days=7):
        since = datetime.date.today() - datetime.timedelta(days)
        self.connection.execute(f"SELECT * FROM orders WHERE region = '{settings.REGION}' AND placed > '{since.isoformat()}'")
        return self.connection.execute(f"SELECT * FROM orders WHERE placed > now() - interval '{days} days'")
""",
    """
class Repository:
    def update(self, key, data):
        fields = ", ".join(f"{name} = ?" for name in data)
        self.connection.execute(f"UPDATE orders SET {fields} WHERE id = ?", [*data.values(), key])

    async def insert(self, data):
        columns = ", ".join(data)
        marks = ", ".join(f":{name}" for name in data)
        await self.database.execute(f"INSERT INTO orders ({columns}) VALUES ({marks})", data)
        await self.database.fetchrow("SELECT * FROM orders WHERE id = $1", data)
""",
    """
def explain(logger, client, name):
    logger.info(f"select the best from '{name}' where it matters")
    client.run(f"Select an answer. The question is: '{name}'")
    raise ValueError(f"SELECT id FROM users WHERE name = '{name}' found nothing")

def kinds(cursor, names):
    for kind in ("open", "closed"):
        cursor.execute(f"SELECT * FROM orders WHERE kind = '{kind}'")
    for name in names:
        if name not in {"a", "b"}:
            raise ValueError(name)
    cursor.execute(f"SELECT {', '.join(names)} FROM orders")
""",
    """
import discord
from discord.ext import commands

bot = commands.Bot(command_prefix=".")

@bot.command()
async def pay(ctx, member: discord.Member, amount: int, kind):
    table = "gyms" if kind == "gym" else "stops"
    await db.execute(f"UPDATE {table} SET paid = paid + {amount} WHERE id = {member.id} AND guild = '{ctx.guild.id}'")
    await db.execute("SELECT * FROM gyms WHERE name LIKE ?", (kind,))

@bot.event
async def on_raw_reaction_add(payload):
    await db.execute(f"SELECT * FROM roles WHERE message = {payload.message_id} AND user = {payload.user_id}")
""",
    """
import click
from django.core.management.base import BaseCommand

@click.group()
def cli():
    pass

@cli.command()
def forget(name):
    connection.execute(f"DELETE FROM users WHERE name = '{name}'")

@app.cli.command("rename")
def rename(name):
    connection.execute(f"UPDATE users SET name = '{name}'")

class Command(BaseCommand):
    def handle(self, *args, **options):
        connection.execute(f"DELETE FROM users WHERE name = '{options['name']}'")

def jobs_of(kind):
    return connection.execute(f"SELECT * FROM jobs WHERE kind = '{kind}'")

def main(kind):
    jobs_of(kind)
    jobs_of("all")

if __name__ == "__main__":
    main()
""",
    """
import json
from hashlib import md5
from flask import request
from sqlalchemy import text

ORDERS = {"newest": "created_at DESC", "name": "name"}
KINDS = {"a": "kind = 'a'", "b": "kind = 'b'"}

class Store:
    def _key(self, key):
        return md5(pickle.dumps(key)).hexdigest()

    def get(self, key):
        return self._get(self._key(key))

    def _get(self, key):
        return list(self.connection.execute(f"SELECT value FROM store WHERE key = '{key}'"))

    def of_user(self, user_id: int, kind):
        self.connection.execute("SELECT * FROM store WHERE " + KINDS[kind])
        self.connection.execute("UPDATE store SET value = '" + json.dumps({"version": 1}) + "'")
        return self.connection.execute(text(f"SELECT * FROM store WHERE user_id = {user_id}"))

@app.route("/users")
def users():
    order = ORDERS.get(request.args.get("order"), "id")
    prisma.user.delete(where={"id": request.args["id"]})
    session.query(User).order_by(request.args["order"])
    return session.query(User).order_by(text(order)), db.select("users", order=order)

def create(connection, user, comment):
    connection.execute("CREATE USER shop IDENTIFIED BY :password", {"password": user})
    servers = [row["server"] for row in connection.execute("SELECT server FROM servers")]
    return connection.execute(f"SELECT * FROM sites WHERE server = '{servers[0]}'")
""",
    """
from string import Template

KINDS = {"new": "created", "old": "archived"}

class Query:
    def __init__(self, connection):
        self.connection = connection
        self.sql = "SELECT * FROM users WHERE 1 = 1"
        self.values = []

    def named(self, name):
        self.sql += " AND name = %s"
        self.values.append(name)

    def run(self):
        return self.connection.execute(self.sql, self.values)

def user_sql(kind, table):
    return f"SELECT * FROM users WHERE kind = '{KINDS[kind]}'", Template("SELECT * FROM $table WHERE id = :id").substitute(table=table)

def question_query(question):
    return f"Select the best answer from the list to the question: '{question}'"

async def pages(client, kind):
    statement, values = "SELECT * FROM pages WHERE kind = $1", [kind]
    return await client.fetch(statement, *values)
""",
)
