"""Runs one migration at a time, in the team's own interpreter: reads orders as lines of JSON, and answers likewise.

python steps.py KIND SETTINGS VARIABLES    KIND is alembic or django; the database is given by PGHOST, PGUSER and PGDATABASE;
                                           VARIABLES is a list of NAME=VALUE in JSON, {url} among the values

{"do": "list"}                              -> {"migrations": [{"name", "parents", "path"}], "url": "..."}, parents first
{"do": "up", "name": "a2", "host": .., "database": ..} -> {} or {"error": {"kind", "message", "sqlstate", "is_refusal"}}

Whatever address the team's code asks for, the connection goes to the database that is given.
"""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO, cast

_GIVEN = {"host": "PGHOST", "database": "PGDATABASE"}


class _Alembic:
    """Alembic's migrations."""

    def __init__(self, settings: str, variables: list[str]) -> None:
        self._variables = variables
        self._config_module: Any = import_module("alembic.config")
        self._environment: Any = import_module("alembic.runtime.environment")
        self._migration: Any = import_module("alembic.runtime.migration")
        self._script: Any = import_module("alembic.script")
        engine: Any = import_module("sqlalchemy.engine").Engine
        self._settings = settings
        if not Path(settings).is_file():
            raise FileNotFoundError(f"there is no {settings} in {Path.cwd().name or '/'}")
        self._engines: set[Any] = set()
        event: Any = import_module("sqlalchemy.event")
        event.listen(engine, "do_connect", _to_the_given_database)
        event.listen(engine, "engine_connect", self._note)

    def url(self, host: str, database: str) -> str:
        """The address, for the driver that the team's code asks for, or that is there."""
        asked = self._config().get_main_option("sqlalchemy.url") or ""
        driver = asked.partition(":")[0]
        if not driver.startswith("postgresql+"):
            there = [name for name in ("psycopg", "psycopg2", "asyncpg") if find_spec(name)]
            driver = f"postgresql+{there[0]}" if there else "postgresql"
        return f"{driver}://{os.environ['PGUSER']}@/{database}?host={host}"

    def migrations(self) -> list[dict[str, object]]:
        """All of them, parents first."""
        config = self._config()
        script = self._script.ScriptDirectory.from_config(config)
        found = [
            {"name": one.revision, "parents": sorted(one._all_down_revisions), "path": one.path}  # noqa: SLF001 - with depends_on.
            for one in script.walk_revisions()
        ]
        return _parents_first(found)

    def move(self, name: str, *, is_up: bool) -> None:
        """One of them, and no other, up or down."""
        url = _give(self, self._variables)
        config = self._config()
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        script = self._script.ScriptDirectory.from_config(config)
        step = self._migration.MigrationStep
        make = step.upgrade_from_script if is_up else step.downgrade_from_script

        def one(*_: object) -> list[object]:
            return [make(script.revision_map, script.get_revision(name))]

        target = name if is_up else "base"
        with self._environment.EnvironmentContext(config, script, fn=one, as_sql=False, destination_rev=target):
            script.run_env()
        while self._engines:
            with suppress(Exception):
                self._engines.pop().dispose()  # A connection in a pool would keep the database from being copied.

    def _note(self, connection: Any, *_: object) -> None:  # noqa: ANN401 - SQLAlchemy's.
        self._engines.add(connection.engine)

    def _config(self) -> Any:  # noqa: ANN401 - Alembic's, which may not be there.
        if self._settings.endswith(".toml"):
            return self._config_module.Config(toml_file=self._settings)
        return self._config_module.Config(self._settings)


class _Django:
    """Django's migrations."""

    def __init__(self, settings: str, variables: list[str]) -> None:
        self._variables = variables
        _give(self, variables)
        os.environ["DJANGO_SETTINGS_MODULE"] = settings
        conf: Any = import_module("django.conf").settings
        default = dict(cast("dict[str, Any]", conf.DATABASES).get("default") or {})
        engine = str(default.get("ENGINE", ""))
        if "postg" not in engine:
            raise LookupError(f"the default database of {settings} is {engine or 'none'}; expected one of Postgres")
        conf.DATABASES = {"default": {"ENGINE": engine, "OPTIONS": {}}}
        self._point()
        import_module("django").setup()
        self._db: Any = import_module("django.db")
        self._executor: Any = import_module("django.db.migrations.executor")

    def url(self, host: str, database: str) -> str:
        """The address, as django-environ and dj-database-url read it."""
        host = "{quoted_host}" if host == "{host}" else host.replace("/", "%2F")
        return f"postgresql://{os.environ['PGUSER']}@{host}/{database}"

    def migrations(self) -> list[dict[str, object]]:
        """All of them, also those of installed packages, parents first. Django is not asked what the database has."""
        executor = self._executor.MigrationExecutor(None)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes(), clean_start=True)
        return [
            {
                "name": f"{one.app_label}.{one.name}",
                "parents": [f"{app}.{name}" for app, name in one.dependencies],
                "path": sys.modules[type(one).__module__].__file__,
            }
            for one, _ in plan
        ]

    def move(self, name: str, *, is_up: bool) -> None:
        """One of them, and no other, up or down."""
        self._point()
        try:
            executor = self._executor.MigrationExecutor(self._db.connection)
            app, _, own = name.partition(".")
            migration = executor.loader.graph.nodes[app, own]
            executor.migrate([(app, own)], plan=[(migration, not is_up)])
        finally:
            self._db.connections.close_all()

    def _point(self) -> None:
        _give(self, self._variables)
        conf: Any = import_module("django.conf").settings
        given = {
            "NAME": os.environ["PGDATABASE"],
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
            "USER": os.environ["PGUSER"],
            "PASSWORD": "",
        }
        conf.DATABASES["default"].update(given)
        if "django.db" in sys.modules:
            sys.modules["django.db"].connections["default"].settings_dict.update(given)


def _give(project: _Alembic | _Django, variables: list[str]) -> str:
    """Sets the declared variables, for the database that is given now; answers with its address."""
    url = project.url(os.environ["PGHOST"], os.environ["PGDATABASE"])
    words = {"url": url, "host": os.environ["PGHOST"], "database": os.environ["PGDATABASE"], "user": os.environ["PGUSER"]}
    for pair in variables:
        name, _, value = pair.partition("=")
        for word, instead in words.items():
            value = value.replace(f"{{{word}}}", instead)
        os.environ[name] = value
    return url


def _to_the_given_database(dialect: Any, _: object, arguments: list[Any], named: dict[str, Any]) -> None:  # noqa: ANN401
    """Turns each connection of SQLAlchemy's to the database that is given."""
    if dialect.name != "postgresql":
        raise LookupError(f"the migrations connect to {dialect.name}; expected Postgres")
    arguments.clear()
    database = "database" if dialect.driver in {"asyncpg", "pg8000"} else "dbname"
    kept = {name: value for name, value in named.items() if name in {"options", "application_name", "server_settings"}}
    named.clear()
    named.update(kept, host=os.environ["PGHOST"], user=os.environ["PGUSER"], port=5432, **{database: os.environ["PGDATABASE"]})


def _parents_first(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    left = {one["name"]: one for one in reversed(found)}
    done: dict[str, dict[str, Any]] = {}
    while left:
        ready = [name for name, one in left.items() if not set(one["parents"]) & left.keys()]
        done.update({name: left.pop(name) for name in ready})
    return list(done.values())


def _told(error: BaseException) -> dict[str, object]:
    """What went wrong, and whether it is the migration's own refusal to go back."""
    chain: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in chain:
        chain.append(one)
        one = getattr(one, "orig", None) or one.__cause__ or one.__context__
    states = [getattr(link, "sqlstate", None) or getattr(link, "pgcode", None) for link in chain]
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(Path.cwd())]
    return {
        "kind": type(error).__name__,
        "message": re.sub(r" at 0x[0-9a-f]+", "", " ".join(str(chain[-1] if any(states) else error).split()))[:300],
        "sqlstate": next((str(state) for state in states if state), ""),
        "is_refusal": isinstance(error, NotImplementedError) or type(error).__name__ == "IrreversibleError",
        "line": own[-1].lineno if own else 0,
        "path": own[-1].filename if own else "",
    }


def _answer(kind: str, settings: str, variables: list[str], order: dict[str, Any], opened: list[Any]) -> dict[str, object]:
    os.environ.update({name: str(order[given]) for given, name in _GIVEN.items() if given in order})
    try:
        if not opened:
            opened.append((_Alembic if kind == "alembic" else _Django)(settings, variables))
        (project,) = opened
        if order["do"] == "list":
            return {"migrations": project.migrations(), "url": project.url("{host}", "{database}")}
        project.move(str(order["name"]), is_up=order["do"] == "up")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the team's code raises is told.
        return {"error": _told(error)}
    return {}


def main(kind: str, settings: str, variables: list[str], answers: TextIO) -> None:
    """Answers until there are no more orders."""
    sys.path.insert(0, str(Path.cwd()))
    opened: list[Any] = []
    for line in sys.stdin:
        answers.write(f"{json.dumps(_answer(kind, settings, variables, json.loads(line), opened))}\n")
        answers.flush()


if __name__ == "__main__":
    sys.path.pop(0)  # This folder, whose files are no modules of the team's.
    _own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # What the team's code prints is no answer.
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), _own)
