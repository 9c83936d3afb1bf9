"""What happens inside a worker's process: its code runs up to an effect, asks, and goes on when it is told to.

The worker and its lanes are greenlets here as well. None of them is ever chosen here: whoever is told to go on does so.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from interlock.prove.confirm.link import Link, LinkLost, raisable

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.effect import Effect
    from interlock.prove.worker import Worker


class Here(Protocol):
    """The run, as it is in this process."""

    now_s: float
    lost: str

    def current(self) -> Worker:
        """Who is running."""
        ...

    def catch_up(self) -> None:
        """Looks what other processes may have done."""
        ...

    def everyone(self) -> list[Worker]:
        """All workers and lanes."""
        ...

    def park(self) -> None:
        """Lets whoever has let this one run go on."""
        ...

    def resume(self, worker: Worker) -> None:
        """Lets one run until it parks or is over."""
        ...


@dataclass(slots=True)
class Inside:
    """The side of a link that is in a worker's process.

    Args:
        run: The run.
        link: To the process that grants.
    """

    run: Here
    link: Link
    _told: dict[int, tuple[Any, ...]] = field(default_factory=dict[int, "tuple[Any, ...]"])
    _until: dict[int, Callable[[], bool] | None] = field(default_factory=dict[int, "Callable[[], bool] | None"])

    def live(self, worker: Worker) -> None:
        """The life of this process: whoever is told to go on does so, until the other one ends it."""
        self.run.resume(worker)
        while True:
            index, *message = self._heard()
            if message == ["holds?"]:
                until = self._until[index]
                self.run.catch_up()
                self.say("holds", index, until is None or until())
                continue
            self._told[index] = tuple(message)
            self.run.resume(next(one for one in self.run.everyone() if one.index == index))

    def _heard(self) -> list[Any]:
        """What the other process says, without what the clocks show, which is taken over."""
        self.run.now_s, ahead_s, *message = self.link.hear()
        for one in self.run.everyone():
            one.ahead_s = ahead_s
        return message

    def say(self, *message: Any) -> None:
        """Tells the other process something; and that control is lost, if it is."""
        self.link.say(self.run.lost, *message)

    def effect(
        self,
        effect: Effect,
        perform: Callable[[], Any],
        answer: Callable[[Any], str],
        until: Callable[[], bool] | None,
        seconds: float | None,
    ) -> Any:
        """Asks, carries the effect out once it is granted, and goes on as it is told."""
        index = self._asked("effect", until, effect, seconds)
        result: Any = None
        failure: BaseException | None = None
        while True:
            match self._told.pop(index):
                case ("perform",):
                    try:
                        result = perform()
                        self.say("performed", index, result, answer(result))
                    except LinkLost:
                        raise
                    except BaseException as error:  # noqa: BLE001 - told, and raised again if the other process says so.
                        failure = error
                        self.say("failed", index, error)
                    self.run.park()
                case ("own",):
                    return result
                case ("value", value):
                    return value
                case ("raise", error):
                    raise failure or raisable(error)
                case other:
                    raise LinkLost(f"not a message: {other!r}")

    def wait(self, seconds: float | None, effect: Effect, until: Callable[[], bool] | None, *, is_prompt: bool) -> None:
        """Asks to be woken."""
        self._told.pop(self._asked("wait", until, effect, seconds, is_prompt))

    def ask(self, number: int, method: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Asks something that is kept outside; it is answered at once."""
        return self.answered("thing", number, method, args, options)

    def answered(self, question: str, *what: Any) -> Any:
        """The answer to a question that is no effect."""
        self.say(question, *what)
        self.run.now_s, kind, value = self.link.hear()
        if kind == "raise":
            raise raisable(value)
        return value

    def _asked(self, kind: str, until: Callable[[], bool] | None, *what: Any) -> int:
        """Says what the one that is running is about to do, and lets it wait until it is told something."""
        worker = self.run.current()
        self._until[worker.index] = until
        self.say(kind, worker.index, worker.serves, until is not None, *what)
        self.run.park()
        return worker.index


def be_silent() -> None:
    """What a worker prints was printed already, by the search."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
