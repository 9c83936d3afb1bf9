"""Which call asks for which payment of which user, and when: drawn from the seed, one after the other, as they are wanted."""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.prove.load.shapes import Shape

# A customer who asks again does so soon.
_AGAIN_WITHIN = 1000


class Call(NamedTuple):
    """One call. A tuple, because it goes through a pipe: a million dataclasses take ten times as long there.

    Attributes:
        number: Its place among all calls, from 0.
        payment: Which payment it asks for, by number; an earlier one if it is a repeat.
        user: Whose, by number.
        due_s: When it is to be made, from the beginning of the load.
    """

    number: int
    payment: int
    user: int
    due_s: float


@dataclass(slots=True)
class Calls:
    """The calls of a load.

    Attributes:
        shape: Of which.
        repeats: Which share asks for an earlier payment.
        users: Whose each payment is.
    """

    shape: Shape
    repeats: float
    users: array[int] = field(default_factory=lambda: array("L"))

    def drawn(self) -> Iterator[Call]:
        """All of them, in the order in which they are due."""
        chance = random.Random(self.shape.seed)  # noqa: S311 - it is load, not a secret.
        for number in range(self.shape.calls):
            if self.users and chance.random() < self.repeats:
                payment = len(self.users) - 1 - chance.randrange(min(len(self.users), _AGAIN_WITHIN))
            else:
                payment = len(self.users)
                self.users.append(chance.randrange(self.shape.users))
            yield Call(number, payment, self.users[payment], self.shape.due_s(number))
