"""Many callers, one call: what is enqueued while a call is under way goes out together with the next one.

Nobody waits for company. The first caller sends at once; whoever comes while it is being answered is sent with the next
call, up to the size of a script. With 50 callers this is several times as fast as a call each, and gentler on the server.
"""

from __future__ import annotations

import asyncio
import copy
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from retryqueue.errors import QueueUnavailable
from retryqueue.protocol import MOST_PER_CALL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

Asked = TypeVar("Asked")
Told = TypeVar("Told")


class _Ticket(Generic[Asked, Told]):
    """One caller's share of a call."""

    __slots__ = ("answer", "asked", "error", "turn")

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.answer: Told | None = None
        self.error: Exception | None = None
        # Set when there is an answer, or when it is this caller's turn to send. Who sends at once needs none.
        self.turn: threading.Event | None = None


class ThreadCoalescer(Generic[Asked, Told]):
    """Joins the calls of threads. Of those who wait, the first one sends for all; so no caller sends for ever.

    Args:
        send: Sends up to a script's worth, and answers each.
    """

    def __init__(self, send: Callable[[Sequence[Asked]], Sequence[Told]]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._waiting: deque[_Ticket[Asked, Told]] = deque()
        self._sending = False

    def ask(self, asked: Asked) -> Told:
        """The answer to this caller's question."""
        ticket: _Ticket[Asked, Told] = _Ticket(asked)
        with self._lock:
            self._waiting.append(ticket)
            if self._sending:
                ticket.turn = threading.Event()
            self._sending = True
        try:
            if ticket.turn is not None:
                ticket.turn.wait()
            if ticket.answer is None and ticket.error is None:
                self._send_waiting()
        except BaseException:  # Interrupted: whoever comes next must not wait for this caller.
            self._leave(ticket, has_turn=ticket.turn is None or ticket.turn.is_set())
            raise
        if ticket.error is not None:
            # Each caller raises an error of its own: a shared one would collect the tracebacks of all.
            raise _own(ticket.error) from ticket.error
        return cast("Told", ticket.answer)

    def _leave(self, ticket: _Ticket[Asked, Told], *, has_turn: bool) -> None:
        """Takes back a question that was not sent, and the turn with it."""
        with self._lock:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
                if has_turn:
                    self._pass_on()

    def _pass_on(self) -> None:
        """Gives the turn to whoever has waited longest. The lock is held."""
        self._sending = bool(self._waiting)
        if self._waiting:
            _wake(self._waiting[0])

    def _send_waiting(self) -> None:
        """Sends what waits, this caller's own question among it, and passes the turn on."""
        batch: list[_Ticket[Asked, Told]] = []
        try:
            batch = self._taken(MOST_PER_CALL)
            answers = self._send([ticket.asked for ticket in batch])
            for ticket, answer in zip(batch, answers, strict=True):
                ticket.answer = answer
        except Exception as error:  # noqa: BLE001 - it is raised by everybody who is concerned.
            if isinstance(error, QueueUnavailable):  # So it would be for whoever has been waiting behind this call.
                batch += self._taken(None)
            for ticket in batch:
                ticket.error = error
        except BaseException:  # This thread is interrupted; the others are not.
            for ticket in batch:
                ticket.error = QueueUnavailable("the thread that made the call for this one was interrupted meanwhile")
            raise
        finally:
            if batch:
                with self._lock:
                    self._pass_on()
            for ticket in batch:
                _wake(ticket)

    def _taken(self, most: int | None) -> list[_Ticket[Asked, Told]]:
        """Those who have waited longest; everybody, if no number is given."""
        with self._lock:
            count = len(self._waiting) if most is None else min(most, len(self._waiting))
            return [self._waiting.popleft() for _ in range(count)]


def _wake(ticket: _Ticket[Any, Any]) -> None:
    if ticket.turn is not None:
        ticket.turn.set()


def _own(error: Exception) -> Exception:
    """A copy of an error, or the error itself if it cannot be copied."""
    try:
        return copy.copy(error)
    except Exception:  # noqa: BLE001 - whatever its constructor asks for.
        return error


class TaskCoalescer(Generic[Asked, Told]):
    """Joins the calls of one loop's tasks.

    Args:
        send: Sends up to a script's worth, and answers each.
    """

    def __init__(self, send: Callable[[Sequence[Asked]], Awaitable[Sequence[Told]]]) -> None:
        self._send = send
        self._waiting: deque[tuple[Asked, asyncio.Future[Told]]] = deque()
        self._sender: asyncio.Task[None] | None = None

    def ask(self, asked: Asked) -> asyncio.Future[Told]:
        """The answer to this caller's question. A caller that is cancelled takes it back, unless it is on its way."""
        answer: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())
        return answer

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(MOST_PER_CALL, len(self._waiting)))]
                if wanted := [(asked, answer) for asked, answer in batch if not answer.cancelled()]:
                    await self._send_batch(wanted)
        finally:
            self._sender = None
            for _, answer in self._waiting:  # Only when this loop is being shut down.
                answer.cancel()

    async def _send_batch(self, batch: list[tuple[Asked, asyncio.Future[Told]]]) -> None:
        try:
            answers = await self._send([asked for asked, _ in batch])
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
        except Exception as error:  # noqa: BLE001 - it is raised by everybody who is concerned.
            if isinstance(error, QueueUnavailable):  # So it would be for whoever has been waiting behind this call.
                batch += self._waiting
                self._waiting.clear()
            for _, future in batch:
                if not future.done():
                    future.set_exception(_own(error))
        except BaseException:
            for _, future in batch:
                future.cancel()
            raise

    async def finish(self) -> None:
        """Waits until everything asked so far is answered."""
        while self._sender is not None:
            await asyncio.wait([self._sender])

    async def give_up(self) -> None:
        """Ends the call that is under way, and waits until it has ended; nobody who asked is answered any more."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])
