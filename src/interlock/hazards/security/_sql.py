"""Where in a SQL text a hole is: in the place of a value, or of something that no parameter can stand for.

The text is read from left to right as a database would read it, as far as quotes, comments, parentheses and the word before a hole
tell. A value could have been a parameter; a table, a column or a whole condition could not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from interlock.core.pattern import pattern
from interlock.source.text import Hole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.source.text import Text


class Position(StrEnum):
    """What a hole stands for."""

    QUOTED = "inside quotes"
    VALUE = "as a value"
    NUMBER = "as a number"  # after LIMIT, OFFSET, INTERVAL: not every database takes a parameter there
    NAME = "as a part of the statement"  # a table, a column, a condition, anything in a statement that takes no parameters
    PARAMETER = "as the name of a parameter"  # `:{name}`, `%({name})s`


@dataclass(frozen=True, slots=True)
class Place:
    """One hole of a SQL text."""

    hole: Hole
    position: Position
    verb: str  # of the statement around it: `SELECT`; empty if it cannot be told


_STATEMENT: Final = pattern(
    r"""^ (?: \s | \( | --[^\n]*\n | /\*.*?\*/ )*
    (?: SELECT\b .+? \bFROM\b | SELECT\s+\w+\( | INSERT\s+(?:INTO|OR|IGNORE|OVERWRITE)\b
      | UPDATE\s+\S+\s+(?:\S+\s+){0,3}?SET\b | DELETE\s+(?:\w+\s+)?FROM\b
      | WITH\s+(?:RECURSIVE\s+)?\S+\s*(?:\([^)]*\)\s*)?AS\s*(?:\w+\s+)*\(
      | MERGE\s+(?:INTO\s+)?\w | REPLACE\s+INTO\b | EXEC(?:UTE)?\s+[\w.]+ | CALL\s+[\w.]+\s*\( | EXPLAIN\s
      | (?:CREATE|ALTER|DROP)\s+(?:OR\s+REPLACE\s+|TEMP\w*\s+|MATERIALIZED\s+|UNIQUE\s+|EXTERNAL\s+)*
        (?:TABLE|VIEW|INDEX|DATABASE|SCHEMA|ROLE|USER|FUNCTION|EXTENSION)\b
      | TRUNCATE\s+(?:TABLE\s+)?\w | GRANT\s+.+?\bON\b | COPY\s+\S+.*?\b(?:FROM|TO)\b
      | PRAGMA\s+\w | ATTACH\s | SHOW\s+\w+ | SET\s+\w+ | USE\s+\w | DESCRIBE?\s )""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_CLAUSE: Final = pattern(
    r"(?:^|[\s)'\"])(?:WHERE|AND|OR|SET|VALUES|FROM|LIKE|ILIKE|IN|BETWEEN|ORDER\s+BY|GROUP\s+BY|LIMIT|HAVING|JOIN)(?:[\s('\"]|$)"
    r"|^\s*[\w.`\"\[\]]+\s*(?:=|<>|!=|<|>)|=\s*'",
    re.IGNORECASE,
)
_TOKEN: Final = pattern(r"--[^\n]*\n?|/\*.*?(?:\*/|$)|\$\$|['\"`]|\w+|[<>!=]=|<>|::|\s+|.", re.DOTALL)

_COMPARISONS: Final = frozenset("= == <> != < > <= >= LIKE ILIKE RLIKE REGEXP GLOB BETWEEN IN ESCAPE MATCH CONTAINS ~".split())
_NUMBERS: Final = frozenset("LIMIT OFFSET TOP FIRST NEXT INTERVAL SAMPLE TABLESAMPLE TIMEOUT".split())
_RELATIONS: Final = frozenset("FROM JOIN INTO AS TABLE UPDATE COLLATE DATABASE".split())
_UTILITIES: Final = frozenset(
    "CREATE ALTER DROP TRUNCATE GRANT REVOKE SET COPY ATTACH DETACH VACUUM ANALYZE LISTEN NOTIFY COMMENT PRAGMA USE SHOW DESCRIBE DESC "
    "LOAD INSTALL EXPORT IMPORT LOCK KILL RENAME UNLOAD DO OPTIMIZE REFRESH FLUSH BACKUP RESTORE DECLARE BEGIN PUT GET REMOVE".split()
)
_SECRETS: Final = frozenset({"PASSWORD", "BY"})  # `CREATE USER ... IDENTIFIED BY '...'`
# The catalogue of tables: what is looked up in it is the name of a table, a schema or a column.
_CATALOGUE: Final = pattern(
    r"\b(information_schema|sqlite_master|sqlite_schema|pg_tables|pg_class|pg_attribute|pg_namespace|pg_indexes|pg_constraint"
    r"|pg_views|pg_stats|svv_\w+|sys\.(tables|columns|schemas|indexes|objects|partitions|views)"
    r"|(all|user|dba)_(tab|col|cons|ind|view|obj|seq)\w*|system_schema|system\.(tables|columns)|schema_columns\w*|table_schema"
    r"|to_regclass|setval|nextval|currval|has_table_privilege)\b",
    re.IGNORECASE,
)
_LISTS: Final = frozenset({"IN", "VALUES", "ANY", "ALL", "SOME"})


def is_statement(text: Text) -> bool:
    """Whether a text is a SQL statement, by its structure."""
    return _STATEMENT.match(_skeleton(text)) is not None


def is_clause(text: Text) -> bool:
    """Whether a text looks like a part of a SQL statement: it has one of its clauses, or a comparison."""
    return _CLAUSE.search(_skeleton(text)) is not None


def is_pattern_match(text: Text) -> bool:
    """Whether a text is a condition that no language but SQL has: `name LIKE '...'`."""
    return re.search(r"\bI?LIKE\s+(?:\w+\s*\(\s*)?'", _skeleton(text)) is not None


def compares(text: Text) -> bool:
    """Whether a hole of a text is compared with something, as no sentence of a prompt or a message does it."""
    return re.search(r"(?:[=<>]|\bI?LIKE)\s*(?:\w*\()?['\"]?%?x\b", _skeleton(text), re.IGNORECASE) is not None


def _skeleton(text: Text) -> str:
    return "".join("x" if isinstance(piece, Hole) else piece for piece in text)


def places(text: Text) -> Iterator[Place]:
    """Every hole of a SQL text, with its position."""
    reader = _Reader(reads_catalogue=_CATALOGUE.search(_skeleton(text)) is not None)
    for number, piece in enumerate(text):
        if isinstance(piece, str):
            reader.read(piece)
            continue
        following = text[number + 1] if number + 1 < len(text) else ""
        yield Place(piece, reader.position(following if isinstance(following, str) else ""), reader.verb)
        reader.pass_hole()


@dataclass(slots=True)
class _Reader:
    """What is known of the text up to here."""

    verb: str = ""
    quote: str = ""  # the open quote
    before: list[str] = field(default_factory=list[str])  # the last tokens outside quotes, without white space
    opened: list[str] = field(default_factory=list[str])  # for each open parenthesis, the token before it
    is_close: bool = False  # whether the last token touches what comes next
    at_start: bool = True
    reads_catalogue: bool = False

    def read(self, piece: str) -> None:
        for match in _TOKEN.finditer(piece):
            token = match.group().upper()
            if self.quote:
                if token == self.quote:
                    self.quote = ""
                    self._note("?")
            elif token in {"'", '"', "`", "$$"}:
                self.quote = token
            elif token.startswith(("--", "/*")) or token.isspace():
                self.is_close = False
            else:
                self._note(token)

    def _note(self, word: str) -> None:
        if word == ";":
            self.at_start, self.before = True, []
            return
        if self.at_start and word != "(":
            self.verb, self.at_start = word if word.isalpha() else "", False
        if word == "(":
            self.opened.append(self._last)
        elif word == ")" and self.opened:
            self.opened.pop()
        self.before = [*self.before[-5:], word]
        self.is_close = True

    @property
    def _last(self) -> str:
        return self.before[-1] if self.before else ""

    def pass_hole(self) -> None:
        """Goes on behind a hole."""
        if not self.quote:
            self.at_start = False
            self.before = [*self.before[-5:], "?"]
            self.is_close = True

    def position(self, following: str) -> Position:
        """What a hole at this place stands for."""
        if self.quote in {"'", '"'} and self.verb in _UTILITIES and self._last in _SECRETS:
            return Position.QUOTED
        if self.verb in _UTILITIES or self.reads_catalogue or self.quote in {"`", "$$"}:
            return Position.NAME
        if self.quote == "'":
            return self._number_or(Position.NAME if self._last in _RELATIONS else Position.QUOTED)
        if self.quote == '"':
            return Position.QUOTED if self._wants_value() else Position.NAME
        if self.is_close and self._names_parameter():
            return Position.PARAMETER
        is_part = (self.is_close and (self._last.isalnum() or self._last in {".", "?", "[", "_", "#"})) or following[:1] in {
            *".([_"
        }
        if is_part or following[:1].isalnum():
            return Position.NAME
        return self._number_or(Position.VALUE if self._wants_value() else Position.NAME)

    def _number_or(self, otherwise: Position) -> Position:
        return Position.NUMBER if self._last in _NUMBERS else otherwise

    def _names_parameter(self) -> bool:
        return self._last in {":", "@", "$", "%"} or self.before[-2:] == ["%", "("]

    def _wants_value(self) -> bool:
        if self._last in _COMPARISONS:
            return True
        if self._last in {"(", ","} and self.opened:
            return self.opened[-1] in _LISTS or (self.opened[-1] in {"?", ")", ","} and "VALUES" in self.before)
        return self._last == "AND" and "BETWEEN" in self.before[-4:]
