"""How far a rollout is, in a file that is whole after every step of it, so that a successor can go on.

What is about to happen is written before it happens. A successor that finds `step` does not know whether the router was told
already; it tells it again, which changes nothing. One that finds `abort` goes on aborting.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from interlock.core.errors import UsageError, WorldError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_VERSION: Final = 1


class Phase(StrEnum):
    """Where a rollout is."""

    STEP = "step"  # The router is being told the share of this step.
    BAKE = "bake"  # The share is in force, and watched.
    PROMOTE = "promote"  # Every step was passed; the new version becomes the only one.
    ABORT = "abort"  # Nobody may be on the canary any more, and the old version comes back.
    ROLLED_BACK = "rolled back"
    DONE = "done"

    @property
    def over(self) -> bool:
        """Whether nothing more is to be done."""
        return self in {Phase.ROLLED_BACK, Phase.DONE}


@dataclass(slots=True, kw_only=True)
class State:
    """A rollout, as it is kept."""

    phase: Phase
    salt: str
    plan: str  # what tells whether it is still the same plan
    started_s: float
    step: int = 0
    baked_s: float = 0.0  # time of this step that was watched; what nobody saw does not count
    held_s: float = 0.0  # time of this step beyond its bake time in which nothing could be said
    shares: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    judge: str = ""
    judged: str = "unknown"  # the verdict
    reason: str = ""
    decided_s: float = 0.0  # from the first step to the decision, without the time in which nobody ran it
    requests: int = 0  # served by the canary
    at_s: float = 0.0  # when this was written


@dataclass(frozen=True, slots=True)
class StateFile:
    """Where it is kept."""

    path: Path

    def load(self) -> State | None:
        """What was kept; None if there is nothing. Raises UsageError if it cannot be understood."""
        if not self.path.exists():
            return None
        try:
            kept: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
            if kept.pop("version") != _VERSION:
                raise ValueError("version")  # noqa: TRY301 - told below.
            shares = [(float(at_s), int(limit)) for at_s, limit in kept.pop("shares")]
            return State(phase=Phase(kept.pop("phase")), shares=shares, **kept)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = (
                f"{self.path}: is no rollout of this version ({error!r}); expected what `interlock roll start` has written"
            )
            raise UsageError(message) from error

    def save(self, state: State, at_s: float, *, durably: bool = True) -> None:
        """Keeps it, whole or not at all; `durably` also if the machine loses its power."""
        state.at_s = at_s
        part = self.path.with_suffix(".part")
        try:
            with part.open("w", encoding="utf-8") as file:
                json.dump({"version": _VERSION, **asdict(state)}, file)
                file.flush()
                if durably:
                    os.fsync(file.fileno())
            part.replace(self.path)
        except OSError as error:
            message = f"{self.path}: the rollout cannot be kept: {error.strerror}"
            raise WorldError(message) from error

    @property
    def _wish(self) -> Path:
        return self.path.with_name("abort")

    def wish_abort(self) -> None:
        """Somebody wants this rollout to end, whoever moves it, now or when it is gone on with."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._wish.touch()
        except OSError as error:
            message = f"{self._wish}: cannot be written: {error.strerror}"
            raise WorldError(message) from error

    @property
    def is_abort_wished(self) -> bool:
        """Whether somebody does."""
        return self._wish.exists()

    def forget_wish(self) -> None:
        """It was fulfilled, or was about a rollout before."""
        self._wish.unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Generator[None]:
        """Nobody else may move this rollout meanwhile. Raises UsageError if somebody does."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = f"{self.path}: another `interlock roll start` is at work on this rollout"
                raise UsageError(message) from None
            yield
