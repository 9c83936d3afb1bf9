"""The queue that a migration empties: a sorted set of payments by due time, a list of dead letters, idempotency keys.

Read in pages, never as a whole. What is read stays until it is removed, and is removed only as it was read: a member that an
old producer has stored once more meanwhile, with another due time, is not the one that was read.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from retryqueue.conversation import Patience, Send, Wait, patient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from retryqueue.conversation import Talk
    from retryqueue.server import Server

T = TypeVar("T")

PAGE = 100
_SCANNED = 500
# `user:seconds`, or `user:nanoseconds:random digits`.
_USER_AND_TIME = re.compile(r"(?P<user>.+):\d{9,20}(?::[0-9a-f]{6,32})?", re.DOTALL)
_WILDCARD = re.compile(r"[*?\[\\]")

# Answers the time in ms, and members with their scores as the server writes them.
_READ_MEMBERS = """
local time = redis.call('TIME')
local last = ARGV[1] + ARGV[2] - 1
return {time[1] * 1000 + math.floor(time[2] / 1000), redis.call('ZRANGE', KEYS[1], ARGV[1], last, 'WITHSCORES')}
"""
# ARGV: members, each with the score that it was read with. Answers each with removed, changed or gone.
_REMOVE_MEMBERS = """
local answers = {}
for i = 1, #ARGV, 2 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score == ARGV[i + 1] then redis.call('ZREM', KEYS[1], ARGV[i]) end
  answers[#answers + 1] = not score and 'gone' or score == ARGV[i + 1] and 'removed' or 'changed'
end
return answers
"""
# Dead letters are pushed to the left, so the oldest are the last. KEYS[2] counts those that were removed before, so that each
# has a number of its own, also where two are the same bytes.
_READ_LETTERS = """
local time, skipped = redis.call('TIME'), tonumber(ARGV[1])
return {time[1] * 1000 + math.floor(time[2] / 1000), tonumber(redis.call('GET', KEYS[2]) or 0),
        redis.call('LRANGE', KEYS[1], -skipped - ARGV[2], -skipped - 1)}
"""
# ARGV: life of the counter in s, number of the first letter, letters. Answers how many of these are removed, now or before.
_REMOVE_LETTERS = """
local first, number = tonumber(ARGV[2]), tonumber(redis.call('GET', KEYS[2]) or 0)
for i = 3, #ARGV do
  if number == first + i - 3 and redis.call('LINDEX', KEYS[1], -1) == ARGV[i] then
    redis.call('RPOP', KEYS[1])
    number = number + 1
  end
end
redis.call('SET', KEYS[2], number, 'EX', ARGV[1])
return number - first
"""


@dataclass(frozen=True, slots=True)
class Found:
    """One member or dead letter.

    Attributes:
        raw: Its bytes.
        mark: The score of a member as the server writes it, or the number of a dead letter.
        came_from: The key that it was read from.
        is_letter: Whether it is a dead letter.
    """

    raw: bytes
    mark: str
    came_from: str
    is_letter: bool = False

    @property
    def name(self) -> str:
        """The same for this member at this due time, and for nothing else."""
        parts = (self.came_from.encode(), self.mark.encode(), self.raw)
        return hashlib.sha256(b"".join(len(part).to_bytes(8) + part for part in parts)).hexdigest()[:32]

    @property
    def due_ms(self) -> float:
        """When it is due, in ms since 1970; infinite if its score is. A dead letter is due never."""
        return float("inf") if self.is_letter else float(self.mark) * 1000


class ForeignQueue:
    """A sorted set and, if it is named, a list of dead letters.

    Args:
        server: Where they are.
        source: The name of the sorted set.
        dead_letters: The name of the list.
        patience_s: How long to wait for a server that does not answer.
        memory_s: How long the server remembers how many dead letters were removed.
    """

    def __init__(self, server: Server, source: str, dead_letters: str | None, *, patience_s: float, memory_s: int) -> None:
        self._server = server
        self.source = source
        self.dead_letters = dead_letters
        self._patience_s = patience_s
        self._memory_s = memory_s

    def check(self) -> bool:
        """Whether the sorted set is there.

        Raises:
            ValueError: If something else has the name of the set or of the list.
        """
        for key, kind in ((self.dead_letters, "list"), (self.source, "zset")):
            found = "none" if key is None else self._ask("TYPE", key).decode()
            if found not in {"none", kind}:
                raise ValueError(f"{key} is a {found}, and not a {'sorted set' if kind == 'zset' else kind}")
        return found == "zset"

    def members(self, skipped: int) -> tuple[int, list[Found]]:
        """The server's time in ms, and the next members by due time after so many others."""
        now_ms, flat = self._ask("EVAL", _READ_MEMBERS, 1, self.source, skipped, PAGE)
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return now_ms, [Found(raw, score.decode(), self.source) for raw, score in pairs]

    def letters(self, skipped: int) -> tuple[int, list[Found]]:
        """The server's time in ms, and the oldest dead letters after so many others; none if no list was named."""
        if self.dead_letters is None:
            return 0, []
        now_ms, removed, newest_first = self._ask("EVAL", _READ_LETTERS, 2, *self._letter_keys, skipped, PAGE)
        oldest_first = enumerate(reversed(newest_first), removed + skipped)
        return now_ms, [Found(raw, str(number), self.dead_letters, is_letter=True) for number, raw in oldest_first]

    def remove(self, page: Sequence[Found]) -> list[Found]:
        """Removes a page as it was read; answers what somebody else had removed before."""
        if page[0].is_letter:
            letters = [found.raw for found in page]
            keys = self._letter_keys
            removed = self._ask("EVAL", _REMOVE_LETTERS, 2, *keys, self._memory_s, page[0].mark, *letters)
            return list(page[removed:])
        operands = [part for found in page for part in (found.raw, found.mark)]
        answers = self._ask("EVAL", _REMOVE_MEMBERS, 1, self.source, *operands)
        return [found for found, answer in zip(page, answers, strict=True) if answer == b"gone"]

    def left(self) -> int:
        """How many members and dead letters there are."""
        letters = self._ask("LLEN", self.dead_letters) if self.dead_letters else 0
        return int(self._ask("ZCARD", self.source)) + int(letters)

    def accepted(self, pattern: str, *, by_value: bool) -> tuple[Counter[str], int]:
        """How often something was accepted for whom, by the idempotency keys that match; and how many keys do not say.

        Args:
            pattern: As for SCAN, such as `payments:retry:idempotency:*`.
            by_value: Whether the keys' values say for what; otherwise their names say for whom.
        """

        def looked() -> tuple[Counter[str], int]:
            counted: Counter[str] = Counter()
            unattributed = 0
            for subject in self._subjects(pattern, by_value=by_value):
                if subject is None:
                    unattributed += 1
                else:
                    counted[subject] += 1
            return counted, unattributed

        return self._server.carry(patient(lambda: _as_talk(looked), Patience(self._patience_s), f"SCAN {pattern}"))

    def _subjects(self, pattern: str, *, by_value: bool) -> Iterator[str | None]:
        """Of each key, for whom it stands. SCAN may tell a key twice; it is counted once."""
        prefix = _WILDCARD.split(pattern, maxsplit=1)[0]
        client = self._server.client
        look_up = client.mget_nonatomic if self._server.clustered else client.mget
        seen: set[bytes] = set()
        batch: list[bytes] = []
        for key in client.scan_iter(match=pattern, count=_SCANNED):
            digest = hashlib.blake2b(key, digest_size=12).digest()
            if digest in seen:
                continue
            seen.add(digest)
            if not by_value:
                yield _user(key, prefix)
                continue
            batch.append(key)
            if len(batch) == _SCANNED:
                yield from map(_text, look_up(batch))
                batch = []
        if batch:
            yield from map(_text, look_up(batch))

    @property
    def _letter_keys(self) -> tuple[str, str]:
        """The list and the counter of those removed, which lies in the same slot of a cluster."""
        name = self.dead_letters or ""
        return name, f"{name}:migrated" if "{" in name else f"{{{name}}}:migrated"

    def _ask(self, *parts: Any) -> Any:
        """The reply to one command.

        Raises:
            QueueUnavailable: If there is none in time.
        """
        return self._server.carry(patient(lambda: _one(parts), Patience(self._patience_s), str(parts[0])))


def _one(parts: tuple[Any, ...]) -> Talk[Any]:
    return (yield Send(parts))


def _as_talk(look: Callable[[], T]) -> Talk[T]:
    """A look that is begun anew if the server goes away in between."""
    yield Wait(0)
    return look()


def _user(key: bytes, prefix: str) -> str | None:
    name = key.decode(errors="backslashreplace").removeprefix(prefix)
    found = _USER_AND_TIME.fullmatch(name)
    return found["user"] if found else None


def _text(value: bytes | None) -> str | None:
    return value.decode(errors="backslashreplace") if value else None
