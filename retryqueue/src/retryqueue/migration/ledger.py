"""What a migration remembers on the server, so that it may be killed at any moment and run again.

For each member that was ever read: the key that was decided for it. For each key: the member that has it. Both are written
before the payment is stored. So a member that is read again is known, whatever has become of its payment since; and another
member that names the same payment is told from it. It is forgotten after `MEMORY_S`, in small parts.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from retryqueue.conversation import Patience, Send, patient

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from retryqueue.conversation import Talk
    from retryqueue.server import Server

MEMORY_S = 30 * 86_400
# A hash of everything would hold the server up when its life ends.
_PARTS = 256

# KEYS: for each member the part of its key and the part of its name. ARGV: memory in s, 1 to write (0: look only), then for
# each member: key, owner (its name and fingerprint), name, note, key of its bytes in quarantine, note if it went there before.
# Answers each with the owner of its key, and its note as it was. A note that says quarantine gives way to one that does not;
# no other note ever changes.
_CLAIM = """
local answers = {}
for i = 1, #KEYS, 2 do
  local a = 3 * i
  local note = redis.call('HGET', KEYS[i + 1], 'member:' .. ARGV[a + 2])
  if ARGV[2] == '1' then
    redis.call('HSETNX', KEYS[i], 'key:' .. ARGV[a], ARGV[a + 1])
    if not note then
      redis.call('HSET', KEYS[i + 1], 'member:' .. ARGV[a + 2], ARGV[a + 3])
    elseif ARGV[a] ~= ARGV[a + 4] and cjson.decode(note)[1] == ARGV[a + 4] then
      redis.call('HSET', KEYS[i + 1], 'member:' .. ARGV[a + 2], ARGV[a + 5])
    end
    redis.call('EXPIRE', KEYS[i], ARGV[1])
    redis.call('EXPIRE', KEYS[i + 1], ARGV[1])
  end
  answers[#answers + 1] = {redis.call('HGET', KEYS[i], 'key:' .. ARGV[a]) or ARGV[a + 1], note or ARGV[a + 3]}
end
return answers
"""
# KEYS: for each member the part of its name. ARGV: names. Answers the time in ms, and the note of each, or nothing.
_KNOWN = """
local time, notes = redis.call('TIME'), {}
for i, name in ipairs(ARGV) do notes[i] = redis.call('HGET', KEYS[i], 'member:' .. name) or '' end
return {time[1] * 1000 + math.floor(time[2] / 1000), notes}
"""


def unreadable_key(name: str) -> str:
    """What the bytes of a member are called in quarantine."""
    return f"unreadable-{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What was decided for a member when it was first read.

    Attributes:
        name: The member's own name.
        key: The key of its payment, or the name of its bytes in quarantine.
        fingerprint: Of its payment, in hexadecimal; empty if it cannot be read.
        source: Where it was read.
        user_id: Who pays, as far as it says.
        value: What its field for the accepted values holds, if there is one.
        at_ms: When it was first read.
        mark: Its score, or the number of a dead letter; empty if whoever wrote the claim did not write it down.
        again: Whether its bytes went to quarantine when it was first read, and it could be read later.
    """

    name: str
    key: str
    fingerprint: str
    source: str
    user_id: str
    value: str
    at_ms: int
    mark: str = ""
    again: bool = False

    @property
    def owner(self) -> str:
        """Says of a key whose it is."""
        return f"{self.name} {self.fingerprint}"

    @property
    def is_unreadable(self) -> bool:
        """Whether its bytes were to go to quarantine."""
        return self.key == unreadable_key(self.name)

    def to_json(self) -> str:
        """All but the name."""
        rest = [self.fingerprint, self.source, self.user_id, self.value, self.at_ms, self.mark, self.again]
        return json.dumps([self.key, *rest])

    @classmethod
    def from_json(cls, name: str, text: bytes) -> Claim:
        """The claim with this name."""
        key, fingerprint, source, user_id, value, at_ms, *more = json.loads(text)
        mark, again = more or ("", False)
        return cls(
            name=name,
            key=key,
            fingerprint=fingerprint,
            source=source,
            user_id=user_id,
            value=value,
            at_ms=at_ms,
            mark=mark,
            again=again,
        )


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to a claim.

    Attributes:
        owner: Whose the key is.
        first: What was decided for the member before; the claim itself if that is now.
    """

    owner: str
    first: Claim


class Ledger:
    """The memory of migrations into one queue.

    Args:
        server: Where the queue is.
        queue: Its name.
        patience_s: How long to wait for a server that does not answer.
        writes: Whether claims are kept; otherwise they are only compared, with each other too.
    """

    def __init__(self, server: Server, queue: str, *, patience_s: float, writes: bool) -> None:
        self._server = server
        self._prefix = f"{{{queue}}}:migrated"
        self._patience_s = patience_s
        self._writes = writes
        self._unwritten_owners: dict[str, str] = {}
        self._unwritten: dict[str, Claim] = {}

    def claim(self, claims: Sequence[Claim]) -> list[Claimed]:
        """Claims a key for each of a page of members; the first that comes has it."""
        keys = [part for claim in claims for part in (self._part(claim.key), self._part(claim.name))]
        rows = [part for claim in claims for part in _row(claim)]
        answers = self._ask("EVAL", _CLAIM, len(keys), *keys, MEMORY_S, int(self._writes), *rows)
        found: list[Claimed] = []
        for claim, (owner, note) in zip(claims, answers, strict=True):
            claimed = Claimed(owner.decode(), Claim.from_json(claim.name, note))
            found.append(claimed if self._writes else self._overlaid(claim, claimed))
        return found

    def known(self, names: Sequence[str]) -> tuple[int, list[Claim | None]]:
        """The server's time in ms, and of each member what was decided for it; none if that is forgotten."""
        keys = [self._part(name) for name in names]
        now_ms, notes = self._ask("EVAL", _KNOWN, len(keys), *keys, *names)
        return now_ms, [Claim.from_json(name, note) if note else None for name, note in zip(names, notes, strict=True)]

    def subjects(self, sources: set[str | None], *, by_value: bool) -> Counter[str]:
        """How many members of these sources there were of each user, or with each value; in this run and in earlier ones."""
        known = {claim.name: claim for claim in self._claims()} | self._unwritten
        found = [claim for claim in known.values() if claim.source in sources]
        return Counter(claim.value if by_value else claim.user_id for claim in found)

    def knows(self, source: str) -> bool:
        """Whether anything was migrated from this source before."""
        return any(claim.source == source for claim in self._claims())

    def _overlaid(self, claim: Claim, claimed: Claimed) -> Claimed:
        """The answer as it would be if what was claimed before had been written."""
        self._unwritten.setdefault(claim.name, claim if claimed.first.is_unreadable else claimed.first)
        return Claimed(self._unwritten_owners.setdefault(claim.key, claimed.owner), claimed.first)

    def _claims(self) -> Iterator[Claim]:
        for number in range(_PARTS):
            cursor: Any = 0
            while True:
                cursor, flat = self._ask("EVAL", _SCAN, 1, f"{self._prefix}:{number:02x}", cursor)
                for field, note in zip(flat[::2], flat[1::2], strict=True):
                    yield Claim.from_json(field.removeprefix(b"member:").decode(), note)
                if cursor == b"0":
                    break

    def _part(self, name: str) -> str:
        return f"{self._prefix}:{hashlib.sha256(name.encode()).digest()[0]:02x}"

    def _ask(self, *parts: Any) -> Any:
        return self._server.carry(patient(lambda: _one(parts), Patience(self._patience_s), "the memory of the migration"))


_SCAN = "return redis.call('HSCAN', KEYS[1], ARGV[1], 'MATCH', 'member:*', 'COUNT', 200)"


def _row(claim: Claim) -> tuple[str, ...]:
    again = replace(claim, again=True).to_json()
    return (claim.key, claim.owner, claim.name, claim.to_json(), unreadable_key(claim.name), again)


def _one(parts: tuple[Any, ...]) -> Talk[Any]:
    return (yield Send(parts))
