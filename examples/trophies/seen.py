"""What the contracts of this folder note down, outside of the workers, and demand of it in the end."""

from __future__ import annotations

from dataclasses import dataclass, field

from interlock.prove.invariant import Invariant
from interlock.prove.provider import times


@dataclass(slots=True)
class Seen:
    """Notes of what the workers were told.

    Attributes:
        answers: (the virtual time in s, what was answered), in order.
        inside: How many are inside of what only so many may enter.
        most: The most that were ever inside at once.
    """

    answers: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    inside: int = 0
    most: int = 0

    def note(self, at_s: float, answer: str) -> None:
        """An answer."""
        self.answers.append((at_s, answer))

    def enter(self) -> None:
        """Somebody has come in."""
        self.inside += 1
        self.most = max(self.most, self.inside)

    def leave(self) -> None:
        """Somebody has gone out."""
        self.inside -= 1

    def times(self, answer: str) -> list[float]:
        """When something was answered."""
        return [at_s for at_s, told in self.answers if told == answer]

    def inside_at_most(self, most: int) -> Invariant:
        """No more than so many were ever inside at once."""
        return Invariant(
            f"at most {most} inside", lambda: f"{self.most} were inside at once, of {most}" if self.most > most else None
        )

    def answered_at_most(self, answer: str, most: int, within_s: float) -> Invariant:
        """Something was answered no more than so often in any stretch of time."""

        def broken() -> str | None:
            told = self.times(answer)
            counts = [sum(begin <= at_s < begin + within_s for at_s in told) for begin in told]
            found = max(counts, default=0)
            if found <= most:
                return None
            return f"{answer!r} was answered {times(found)} within {within_s:g} s, where {most} is promised"

        return Invariant(f"{answer!r} at most {most} times in {within_s:g} s", broken)

    def answered(self, answer: str) -> Invariant:
        """Something was answered in the end, at least once."""
        return Invariant(f"{answer!r} is answered", lambda: None if self.times(answer) else f"nobody was ever told {answer!r}")
