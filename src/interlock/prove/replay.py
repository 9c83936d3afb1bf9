"""A finding kept in a small file, so that anybody can run it again; also after the module has changed.

The file tells the order of effects by where it differs from the plainest one, and a fault by the worker, the number of its
effect and the fault's name. Neither depends on code that has nothing to do with it. What no longer fits is skipped, and said.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.core.errors import UsageError
from interlock.core.verdict import Verdict
from interlock.prove.bench import bench
from interlock.prove.confirm.confirmation import Confirmation, confirmation
from interlock.prove.effect import Uncontrolled
from interlock.prove.faults import every_fault
from interlock.prove.faults.clock_jump import ClockJump
from interlock.prove.faults.delay import MARGIN_S, Delay
from interlock.prove.loading import contracts_in
from interlock.prove.programs import Program
from interlock.prove.proof import Findings, Violation
from interlock.prove.schedule import Schedule, digest
from interlock.prove.scheduler import Stuck
from interlock.prove.steering import Steering, called, number_of
from interlock.prove.watchdog import NoAnswer, supervised
from interlock.prove.whereabouts import users_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interlock.prove.bench import Bench
    from interlock.prove.contract import Contract
    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault

VERSION = 1
FOLDER = Path(".interlock", "replays")
REPLAYED_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fault strikes, and which.

    Attributes:
        worker: Who is struck.
        effect: At which of its effects, from 1.
        name: What the fault is called.
        lengths_s: How long something lasted in the run; there are delays and jumps of a clock past that.
    """

    worker: str
    effect: int
    name: str
    lengths_s: tuple[float, ...] = ()

    @property
    def place(self) -> tuple[int, int]:
        """As the run counts."""
        return number_of(self.worker), self.effect - 1

    def fault(self, effects: Iterable[Effect]) -> Fault | None:
        """The fault, if it can strike one of these effects."""
        lengths = self.lengths_s
        late = (replace(effect, lengths_s=(*effect.lengths_s, *lengths), is_late=True) for effect in effects)
        faults = (fault for effect in late for fault in every_fault(effect))
        return next((fault for fault in faults if fault.name == self.name), None)


@dataclass(frozen=True, slots=True)
class Replay:
    """What the file holds.

    Attributes:
        contract: The file and the name of the contract: `contracts.py::charged_once`.
        mood: The provider's mood.
        workers: How many there are.
        seed: Of their chance.
        faults: Where they strike.
        switches: (worker, after its n-th turn, who goes on); nobody's turn 0 is the beginning.
        violation: What it broke.
        effects: What tells its history from others.
    """

    contract: str
    mood: str
    workers: int
    seed: int
    faults: tuple[Place, ...]
    switches: tuple[tuple[str, int, str], ...]
    violation: tuple[str, ...]
    effects: str

    def text(self) -> str:
        """As it stands in the file."""
        told = {
            "version": VERSION,
            "contract": self.contract,
            "mood": self.mood,
            "workers": self.workers,
            "seed": self.seed,
            "faults": [asdict(fault) for fault in self.faults],
            "switches": [{"after": worker, "turn": turn, "to": to} for worker, turn, to in self.switches],
            "violation": list(self.violation),
            "effects": self.effects,
        }
        return json.dumps(told, indent=2) + "\n"

    @property
    def steering(self) -> Steering:
        """Takes its order."""
        return Steering({(worker, turn): to for worker, turn, to in self.switches})

    def program(self, plan: Iterable[tuple[tuple[int, int], Fault]] = ()) -> Program:
        """What is fixed in it."""
        return Program(self.mood, self.workers, None, tuple(plan))


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of it.

    Attributes:
        verdict: fail if it still breaks the contract, pass if it no longer does, unknown if it no longer fits.
        said: For people.
        skipped: What no longer fitted.
        violation: What it breaks now.
        confirmation: How often it does so among processes.
    """

    verdict: Verdict
    said: str
    skipped: tuple[str, ...] = ()
    violation: Violation | None = None
    confirmation: Confirmation | None = None


def kept(contract: Contract, schedule: Schedule, violation: Violation) -> Replay:
    """What is to be written of a finding."""
    return Replay(
        contract=f"{_shown(contract.where.rpartition(':')[0])}::{contract.name}",
        mood=schedule.program.mood,
        workers=schedule.program.workers,
        seed=0,
        faults=tuple(
            Place(called(worker), place + 1, fault.name, _lengths(fault)) for (worker, place), fault in schedule.program.plan
        ),
        switches=tuple((worker, turn, to) for (worker, turn), to in schedule.switches),
        violation=violation.broken,
        effects=digest(violation.steps),
    )


def _lengths(fault: Fault) -> tuple[float, ...]:
    return (abs(fault.seconds) - MARGIN_S,) if isinstance(fault, Delay | ClockJump) else ()


def write(replay: Replay, folder: Path = FOLDER) -> Path:
    """Writes it, under a name that tells the contract, and two findings of it apart."""
    name = re.sub(r"\W+", "-", replay.contract.partition("::")[2]).strip("-")
    path = folder / f"{name}-{replay.effects}.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(replay.text(), encoding="utf-8")
    return path


def read(path: Path) -> Replay:
    """What a file holds.

    Raises:
        UsageError: If it is no replay file of this version.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["version"] != VERSION:
            raise UsageError(f"{path}: version {told['version']!r} of a replay file, expected {VERSION}")
        return Replay(
            contract=_text(told["contract"]),
            mood=_text(told["mood"]),
            workers=_number(told["workers"]),
            seed=_number(told["seed"]),
            faults=tuple(
                Place(
                    _worker(one["worker"]),
                    _number(one["effect"]),
                    _text(one["name"]),
                    tuple(float(length) for length in one["lengths_s"]),
                )
                for one in told["faults"]
            ),
            switches=tuple((_text(one["after"]), _number(one["turn"]), _worker(one["to"])) for one in told["switches"]),
            violation=tuple(_text(one) for one in told["violation"]),
            effects=_text(told["effects"]),
        )
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: not a replay file: {type(error).__name__}: {error}") from error


def replayed(path: Path) -> Replayed:
    """Runs what a file holds.

    Raises:
        UsageError: If it is no replay file.
    """
    replay = read(path)
    try:
        contract = _contract(replay.contract, path)
    except UsageError as error:
        return Replayed(Verdict.UNKNOWN, f"it no longer fits: {error}")
    return again(contract, replay)


def replayed_in_time(path: Path) -> Replayed:
    """The same in a child process, so that there is an answer whatever the module does by now.

    Raises:
        UsageError: As `replayed`.
    """
    try:
        return supervised(lambda _: replayed(path), time.monotonic() + REPLAYED_WITHIN_S, lambda _: None, is_heard=True)
    except NoAnswer as error:
        return Replayed(Verdict.UNKNOWN, f"nobody can tell: {error}")


def again(contract: Contract, replay: Replay) -> Replayed:
    """Runs a replay of a contract."""
    misfits: list[str] = []
    with bench(contract) as own:
        try:
            program, steering = _fitted(own, replay, misfits), replay.steering
            violation = own.schedule(program, steering.choose, where=users_line)
        except (Uncontrolled, Stuck) as error:
            return Replayed(Verdict.UNKNOWN, f"nobody can tell: {error}", tuple(misfits))
        misfits += [f"{to} cannot go on after {worker}'s turn {turn}" for (worker, turn), to in steering.skipped.items()]
        if violation is None:
            return _unbroken(tuple(misfits))
        sure = confirmation(own, Schedule(program, tuple(sorted(steering.taken.items()))), violation.broken)
    return _broken(replay, violation, sure, tuple(misfits))


def _fitted(own: Bench, replay: Replay, misfits: list[str]) -> Program:
    """The program with its faults, as far as they can strike what is done at their places: one after the other is added."""
    plan: list[tuple[tuple[int, int], Fault]] = []
    for fault in replay.faults:
        found = Findings()
        own.schedule(replay.program(plan), replay.steering.choose, found)
        effects = found.places.get(fault.place, {})
        if (chosen := fault.fault(effects)) is not None:
            plan.append((fault.place, chosen))
        else:
            what = ", or ".join(effect.said for effect in effects) or "not there"
            misfits.append(f"{fault.name} cannot strike {fault.worker}'s effect {fault.effect}, which is {what}")
    return replay.program(plan)


def _unbroken(misfits: tuple[str, ...]) -> Replayed:
    if misfits:
        return Replayed(Verdict.UNKNOWN, "it no longer fits, and what is left of it breaks nothing", misfits)
    return Replayed(Verdict.PASS, "it no longer breaks the contract")


def _broken(replay: Replay, violation: Violation, sure: Confirmation, misfits: tuple[str, ...]) -> Replayed:
    same = digest(violation.steps) == replay.effects
    how = "it still breaks the contract" + ("" if same else ", though not by the same effects")
    if not set(violation.broken) & set(replay.violation):
        how = "it breaks the contract in another way"
    verdict = Verdict.FAIL if sure.is_sure else Verdict.UNKNOWN
    return Replayed(verdict, how, misfits, violation, sure)


def _contract(named: str, replay: Path) -> Contract:
    """The contract of a replay: its path counts from here, or from the folder that holds `.interlock`."""
    path, _, name = named.partition("::")
    places = [Path(path), *(parent / path for parent in replay.resolve().parents)]
    found = next((place for place in places if place.is_file()), Path(path))
    return contracts_in(found, name)[0]


def _shown(path: str) -> str:
    here = Path.cwd()
    full = Path(path)
    return str(full.relative_to(here)) if full.is_relative_to(here) else path


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"found {value!r}, expected a text")
    return value


def _worker(value: object) -> str:
    text = _text(value)
    number_of(text)
    return text


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"found {value!r}, expected a number")
    return value
