"""The database: one base for all tables, and sessions on it."""

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

Sessions = sessionmaker[Session]

LOCK_TIMEOUT_S = 5.0


class Base(DeclarativeBase):
    """The base of every table."""


def open_database(url: str) -> Sessions:
    """Sessions on the SQLite database at this URL; tables that are missing are made."""
    engine = create_engine(url, connect_args={"timeout": LOCK_TIMEOUT_S})
    _write_ahead(engine)
    Base.metadata.create_all(engine)
    return sessionmaker(engine, expire_on_commit=False)


def _write_ahead(engine: Engine) -> None:
    """Readers do not wait for the writer, and foreign keys hold; SQLite does neither unless it is told."""

    @event.listens_for(engine, "connect")
    def configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()
