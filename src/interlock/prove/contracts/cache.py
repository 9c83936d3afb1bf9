"""A cache: once a write was acknowledged nobody reads what was there before; few load what is missing; all of it expires."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from interlock.core.errors import UsageError
from interlock.prove.contract import Scenario
from interlock.prove.contracts._asking import check_counts, check_functions, refused
from interlock.prove.facts import Facts
from interlock.prove.faults.crash_after import CrashAfter
from interlock.prove.faults.crash_before import CrashBefore
from interlock.prove.invariant import Invariant
from interlock.prove.wire.http_wire import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault
    from interlock.prove.wire.http_wire import Request
    from interlock.prove.world import World


@dataclass(slots=True)
class Origin:
    """What is cached: `GET /key` answers with the value, `PUT /key` stores `{"value": ...}`.

    Attributes:
        values: What it holds.
        loads: The key of each `GET`.
    """

    values: dict[str, str] = field(default_factory=dict[str, str])
    loads: list[str] = field(default_factory=list[str])

    def answer(self, request: Request) -> Answer:
        """Reads or writes."""
        key = unquote(request.path.strip("/"))
        if request.method == "PUT":
            self.values[key] = str(request.json().get("value"))
        else:
            self.loads.append(key)
        return Answer(200, {"value": self.values.get(key)})

    @classmethod
    def of(cls, world: World, url: str) -> Origin:
        """One behind an address."""
        origin = cls()
        world.http(url, origin.answer)
        return origin


@dataclass(frozen=True, slots=True)
class Cache:
    """What a cache promises, and how it is asked to do things.

    Attributes:
        origin: What is cached: `Origin.of(world, "http://db.example/")`.
        read: The value of a key, from the cache or else from the origin.
        write: Changes the value of a key.
        ttl_s: How long a value is kept at most.
        loads_max: How many may load the same value at the same time.
    """

    origin: Origin
    read: Callable[[str], Any]
    write: Callable[[str, str], object]
    ttl_s: float
    loads_max: int = 1

    def __post_init__(self) -> None:
        check_functions(self, "read", "write")
        check_counts(self, "ttl_s", "loads_max")
        if not isinstance(self.origin, Origin):  # pyright: ignore[reportUnnecessaryIsInstance] - by whoever has no checker.
            raise UsageError(f"Cache: found {self.origin!r} as origin, expected Origin.of(world, url)")

    def scenarios(self) -> Iterable[Scenario]:
        """A read during a write, a crowd in front of nothing, and one who dies."""
        return (
            Scenario("a read while a write is under way", _arrange_write),
            Scenario("many read what is not cached", _arrange_crowd, workers=self.loads_max + 1),
            Scenario("crash while a value is loaded or written", _arrange_write, strikes=_crashes),
        )


def _crashes(fault: Fault, _: Effect) -> bool:
    return isinstance(fault, CrashBefore | CrashAfter)


def _arrange_write(world: World, own: Cache) -> None:
    """One reads and one writes; whoever reads afterwards reads what was written."""
    seen = world.outside(Facts())
    own.origin.values["k"] = "old"

    def write() -> None:
        own.write("k", "new")
        seen.note("written")

    def read_again() -> None:
        seen.note("read", world.now_s, own.read("k"), bool(seen.every("written")))

    world.run(lambda: own.read("k"), write)
    world.check_end()
    world.recover(read_again, waits_s=(0.001, own.ttl_s + 1))
    world.check(
        Invariant("after a write, what was written is read", lambda: _stale(seen, own)),
        world.no_key_without_ttl(),
    )


def _stale(seen: Facts, own: Cache) -> str | None:
    for at_s, value, was_told in seen.every("read"):
        if value != own.origin.values["k"] and (was_told or at_s > own.ttl_s):
            when = "after a write of" if was_told else f"{own.ttl_s:g} s after a write of"
            return f"{value!r} is read {when} {own.origin.values['k']!r}"
    return None


def _arrange_crowd(world: World, own: Cache) -> None:
    """All read the same at once, and nothing is cached."""
    seen = world.outside(Facts())
    own.origin.values["k"] = "value"

    def read() -> None:
        if (refusal := refused(lambda: seen.note("read", own.read("k")))) is not None:
            seen.note("refused", str(refusal))

    world.run(read)
    world.check_end()
    world.recover(read, waits_s=(1.0,))
    world.check(
        Invariant(f"at most {own.loads_max} load what is missing", lambda: _stampede(own)),
        Invariant("everybody reads the value", lambda: _wrong(seen)),
        world.no_key_without_ttl(),
    )


def _stampede(own: Cache) -> str | None:
    loads = len(own.origin.loads)
    return f"{loads} load what is missing, where {own.loads_max} may" if loads > own.loads_max else None


def _wrong(seen: Facts) -> str | None:
    refusals = [why for (why,) in seen.every("refused")]
    values = [value for (value,) in seen.every("read") if value != "value"]
    if refusals:
        return f"a read fails: {refusals[0]}"
    return f"{values[0]!r} is read, where 'value' is stored" if values else None
