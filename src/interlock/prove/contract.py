"""What a user writes: a function that sets a world up and says what must hold in it, and how much is to be tried.

What the function returns, if anything, is a promise: one of the ready contracts, such as `RetryQueue`. It knows the scenarios
in which it could be broken, and each of them is a contract of its own.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, cast, overload

from interlock.core.errors import InterlockError, UsageError, nearest
from interlock.prove.effect import Uncontrolled
from interlock.prove.faults import every_kind, is_usual, kind_of
from interlock.prove.load.shapes import Shape
from interlock.prove.worker import WORKERS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault
    from interlock.prove.invariant import Invariant
    from interlock.prove.world import World


# What whoever writes a contract does wrong: names that are not there, and the wrong number of arguments.
SLIPS = (AttributeError, NameError, TypeError)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A situation in which a promise could be broken.

    Attributes:
        name: What people call it.
        arrange: Sets it up: is shown a world and the promise.
        workers: How many workers there are; as many as the contract says, unless it says so.
        strikes: Which faults are placed at which effects; none, unless it says so.
    """

    name: str
    arrange: Callable[[World, Any], None]
    workers: int | None = None
    strikes: Callable[[Fault, Effect], bool] | None = None


class Promise(Protocol):
    """A ready contract, with what a user has said of the module under it."""

    def scenarios(self) -> Iterable[Scenario]:
        """The situations in which it could be broken."""
        ...


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract, and what is tried.

    Attributes:
        arrange: The user's function.
        workers: How many workers there are.
        faults: How many faults may strike one schedule: 0 or 1.
        kinds: Of which kinds; of the usual ones, if none are named.
        scenario: The situation in which a promise is put to the test; none in a plain contract.
        loads: The loads that it is put under, when that is asked for.
    """

    arrange: Callable[[World], object]
    workers: int
    faults: int
    scenario: Scenario | None = None
    kinds: tuple[str, ...] = ()
    loads: tuple[Shape, ...] = ()

    @property
    def name(self) -> str:
        """What the user called it, and the scenario."""
        called = getattr(self.arrange, "__name__", "contract")
        return f"{called}[{self.scenario.name}]" if self.scenario else called

    def strikes(self, fault: Fault, effect: Effect) -> bool:
        """Whether a fault is to be placed at an effect."""
        if self.scenario is not None:
            return self.scenario.strikes is not None and self.scenario.strikes(fault, effect)
        return kind_of(fault) in self.kinds if self.kinds else is_usual(fault)

    @property
    def is_about_faults(self) -> bool:
        """Whether it is about what follows from certain faults, so that it says nothing if none of them strikes."""
        return self.scenario.strikes is not None if self.scenario is not None else bool(self.faults and self.kinds)

    def set_up(self, world: World) -> None:
        """Shows a world to the user's function, and to the scenario.

        Raises:
            UsageError: If the function raises, or returns what is no promise, or has forgotten what to run or to check.
        """
        world.home = self.arrange.__module__
        promise = self.shown(world)
        if self.scenario is not None:
            self.scenario.arrange(world, promise)
        elif promise is not None:
            raise UsageError(f"{self.where}: {self.name} promises a {type(promise).__name__}, whose scenarios are proved apart")
        if not world.tasks or not world.invariants:
            missing = "world.check(...): nothing could break it" if world.tasks else "world.run(...)"
            raise UsageError(f"{self.where}: {self.name} has no {missing}")
        if (count := max(self.workers, len(world.tasks)) + len(world.setup)) > WORKERS_MAX:
            raise UsageError(
                f"{self.where}: {self.name} has {count} workers and functions given, expected {WORKERS_MAX} at most"
            )

    def apart(self, world: World) -> list[Contract]:
        """A contract for each scenario of the promise; the contract itself, if it is a plain one.

        Args:
            world: Some world, of which nothing is kept.

        Raises:
            UsageError: As `set_up`.
        """
        promise = self.shown(world) if self.scenario is None else None
        if promise is None:
            return [self]
        return [replace(self, scenario=scenario, workers=scenario.workers or self.workers) for scenario in promise.scenarios()]

    @property
    def where(self) -> str:
        """The file and the line of the user's function."""
        code = getattr(self.arrange, "__code__", None)
        return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else "a contract"

    def check_own(self, error: BaseException) -> None:
        """Raises what was raised by the contract's own lines, and not by the module under it: a name that is not there, say.

        Raises:
            UsageError: If it was.
        """
        if isinstance(error, UsageError):
            raise UsageError(f"{self._line(error)}: {self.name}: {error}") from error
        code = getattr(self.arrange, "__code__", None)
        frames = traceback.extract_tb(error.__traceback__)
        if code is not None and frames and isinstance(error, SLIPS) and frames[-1].filename in {code.co_filename, __file__}:
            raise UsageError(f"{self._line(error)}: {self.name} raises {_said(error)}") from error

    def slipped(self, error: Exception) -> UsageError:
        """What whoever wrote the contract is told of an error in something that it has put behind an address."""
        what = (
            str(error) if isinstance(error, UsageError) else f"what is behind an address raises {type(error).__name__}: {error}"
        )
        return UsageError(f"{self._line(error)}: {self.name}: {what}")

    def asked(self, invariant: Invariant) -> str | None:
        """How an invariant does not hold, or nothing.

        Raises:
            UsageError: If it raises, or answers with anything else: `False` means that it is broken to some, and to others not.
        """
        try:
            broken: object = invariant.broken()
        except (InterlockError, Uncontrolled):
            raise
        except Exception as error:
            what = f"the invariant {invariant.says!r} raises {_said(error)}"
            raise UsageError(f"{self._line(error)}: {self.name}: {what}") from error
        if broken is not None and not isinstance(broken, str):  # pyright: ignore[reportUnnecessaryIsInstance] - by whoever has no checker.
            expected = "expected a text that tells how it does not hold, or None"
            raise UsageError(f"{self.where}: {self.name}: the invariant {invariant.says!r} answers {broken!r}, {expected}")
        return broken

    def shown(self, world: World) -> Promise | None:
        """Shows a world to the user's function; gives the promise that it makes, if it makes one.

        Raises:
            UsageError: If it raises, or returns what is no promise.
        """
        try:
            promise = self.arrange(world)
        except UsageError as error:
            raise UsageError(f"{self._line(error)}: {self.name}: {error}") from error
        except InterlockError:
            raise
        except Exception as error:
            raise UsageError(f"{self._line(error)}: {self.name} raises {_said(error)}") from error
        if promise is not None and not hasattr(promise, "scenarios"):
            raise UsageError(
                f"{self.where}: {self.name} returns {promise!r}, expected nothing, or a ready contract such as RetryQueue(...)"
            )
        return cast("Promise | None", promise) if promise is None else _awaiting(world, promise)

    def _line(self, error: BaseException) -> str:
        """The last line of the user's own file that led to an error."""
        code = getattr(self.arrange, "__code__", None)
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if code is not None and frame.filename == code.co_filename]
        return f"{own[-1].filename}:{own[-1].lineno}" if own else self.where


def _said(error: BaseException) -> str:
    """An error, and the nearest right name if one of ours is asked for something that it has not got."""
    told = f"{type(error).__name__}: {error}"
    if not isinstance(error, AttributeError) or not error.name or not type(error.obj).__module__.startswith("interlock.prove"):
        return told
    return f"{told}; {nearest(error.name, (name for name in dir(error.obj) if not name.startswith('_')))}"


def _awaiting(world: World, promise: Any) -> Promise:
    """The same promise, whose functions may be coroutine functions."""

    def awaited(function: Callable[..., object]) -> Callable[..., object]:
        return lambda *args: world.awaited(function(*args))

    if not is_dataclass(promise):
        return cast("Promise", promise)
    functions = {field.name: getattr(promise, field.name) for field in fields(promise)}
    own = {name: awaited(function) for name, function in functions.items() if callable(function)}
    return cast("Promise", replace(cast("Any", promise), **own))


@overload
def contract(arrange: Callable[[World], object], /) -> Contract: ...
@overload
def contract(
    *, workers: int = 2, faults: int = 1, kinds: tuple[str, ...] = (), load: Shape | Sequence[Shape] = ()
) -> Callable[[Callable[[World], object]], Contract]: ...
def contract(
    arrange: Callable[[World], object] | None = None,
    /,
    *,
    workers: int = 2,
    faults: int = 1,
    kinds: tuple[str, ...] = (),
    load: Shape | Sequence[Shape] = (),
) -> Contract | Callable[[Callable[[World], object]], Contract]:
    """Makes a contract of a function that is shown a world.

    Args:
        arrange: The function, if it is decorated without arguments.
        workers: How many workers there are.
        faults: How many faults may strike one schedule: 0 or 1.
        kinds: Of which kinds, such as `restart`; of the usual ones, if none are named.
        load: What `--load` puts it under: `burst(10_000)`, `steady(420, for_s=3600)`, or several of them.

    Raises:
        UsageError: If they are other numbers or no kinds of faults, or it is no function.
    """
    if workers < 1 or faults not in {0, 1}:
        raise UsageError(
            f"@contract: found workers={workers} and faults={faults}, expected at least one worker, and 0 or 1 faults"
        )
    for kind in kinds:
        if kind not in every_kind():
            raise UsageError(f"@contract: no kind of faults: {kind!r}; {nearest(kind, every_kind())}")
    loads = _loads(load)

    def made(arrange: Callable[[World], object]) -> Contract:
        if not callable(arrange):
            raise UsageError(f"@contract: found {arrange!r}, expected a function that is shown a world")
        return Contract(arrange, workers, faults, kinds=kinds, loads=loads)

    return made if arrange is None else made(arrange)


def _loads(load: object) -> tuple[Shape, ...]:
    """One load or several, as they were given."""
    several = tuple(cast("Sequence[object]", load)) if isinstance(load, tuple | list) else (load,)
    for one in several:
        if not isinstance(one, Shape):
            raise UsageError(f"@contract: found load={one!r}, expected burst(...) or steady(...)")
    return cast("tuple[Shape, ...]", several)
