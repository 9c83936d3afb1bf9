"""Many callers, one call: everybody gets their own answer or error, and nobody is left waiting."""

from __future__ import annotations

import asyncio
import ctypes
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from retryqueue import QueueUnavailable
from retryqueue.coalescing import TaskCoalescer, ThreadCoalescer
from retryqueue.protocol import MOST_PER_CALL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TIMEOUT_S = 20


class Sender:
    """Answers each question with its double; can be held, and made to fail."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.running = 0
        self.most_running = 0
        self.open = threading.Event()
        self.open.set()
        self.fails: Callable[[Sequence[int]], BaseException | None] = lambda _: None

    def __call__(self, asked: Sequence[int]) -> list[int]:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.batches.append(list(asked))
        try:
            assert self.open.wait(TIMEOUT_S)
            if (error := self.fails(asked)) is not None:
                raise error
            return [2 * number for number in asked]
        finally:
            self.running -= 1

    def wait_for(self, batches: int) -> None:
        wait_until(lambda: len(self.batches) >= batches)


class Unrepeatable(Exception):  # noqa: N818 - a name for what it does.
    """An error that cannot be copied: its constructor asks for more than it keeps."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one + other)


def wait_until(is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < ends, "It did not come to that."
        time.sleep(0.001)


class Caller(threading.Thread):
    """One caller in a thread of its own, and what it got."""

    def __init__(self, coalescer: ThreadCoalescer[int, int], asked: int) -> None:
        super().__init__(daemon=True)
        self._coalescer, self._asked = coalescer, asked
        self.answer: int | None = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = self._coalescer.ask(self._asked)
        except BaseException as error:  # noqa: BLE001 - it is looked at by the test.
            self.error = error

    def interrupt(self) -> None:
        """Raises KeyboardInterrupt in this thread, as Ctrl-C does in the main one."""
        set_error = ctypes.pythonapi.PyThreadState_SetAsyncExc
        assert set_error(ctypes.c_ulong(self.ident or 0), ctypes.py_object(KeyboardInterrupt)) == 1

    def done(self) -> Caller:
        self.join(TIMEOUT_S)
        assert not self.is_alive(), "A caller was left waiting."
        return self


def waiting(coalescer: ThreadCoalescer[int, int]) -> int:
    return len(coalescer._waiting)


def hold_and_queue(sender: Sender, coalescer: ThreadCoalescer[int, int], numbers: Sequence[int]) -> list[Caller]:
    """The first caller's call is under way, and the others wait in their order."""
    sender.open.clear()
    callers = [Caller(coalescer, numbers[0])]
    sender.wait_for(1)
    for place, number in enumerate(numbers[1:], 1):
        callers.append(Caller(coalescer, number))
        wait_until(lambda place=place: waiting(coalescer) == place)  # type: ignore[misc]
    return callers


def test_one_caller_alone_sends_at_once() -> None:
    sender = Sender()
    assert ThreadCoalescer(sender).ask(21) == 42
    assert sender.batches == [[21]]


def test_every_thread_gets_its_own_answer_under_contention() -> None:
    sender = Sender()
    coalescer = ThreadCoalescer(sender)
    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(coalescer.ask, range(5_000)))

    assert answers == [2 * number for number in range(5_000)]
    assert sorted(number for batch in sender.batches for number in batch) == list(range(5_000))
    assert sender.most_running == 1, "One call at a time."
    assert all(0 < len(batch) <= MOST_PER_CALL for batch in sender.batches)
    assert not coalescer._sending


def test_who_comes_during_a_call_is_sent_with_the_next_one_in_order() -> None:
    sender = Sender()
    callers = hold_and_queue(sender, ThreadCoalescer(sender), [1, 2, 3, 4])
    sender.open.set()

    assert [caller.done().answer for caller in callers] == [2, 4, 6, 8]
    assert sender.batches == [[1], [2, 3, 4]]


def test_batches_are_bounded_and_the_first_who_waits_sends_for_the_rest() -> None:
    sender = Sender()
    numbers = list(range(MOST_PER_CALL + 51))
    callers = hold_and_queue(sender, ThreadCoalescer(sender), numbers)
    sender.open.set()

    assert [caller.done().answer for caller in callers] == [2 * number for number in numbers]
    assert [len(batch) for batch in sender.batches] == [1, MOST_PER_CALL, 50]


def test_an_error_reaches_everybody_whose_call_it_was_and_nobody_else() -> None:
    sender = Sender()
    callers = hold_and_queue(sender, ThreadCoalescer(sender), [1, 2, 3])
    sender.fails = lambda asked: ValueError("no") if 3 in asked else None
    sender.open.set()
    errors = [caller.done().error for caller in callers]

    assert callers[0].answer == 2
    assert [repr(error) for error in errors] == ["None", "ValueError('no')", "ValueError('no')"]
    assert errors[1] is not errors[2], "A shared error would collect everybody's traceback."
    sender.fails = lambda _: None
    assert ThreadCoalescer(sender).ask(5) == 10


@pytest.mark.parametrize("error", [Unrepeatable("a", "b"), StopIteration(), QueueUnavailable("gone")])
def test_errors_of_any_kind_are_passed_on(error: Exception) -> None:
    sender = Sender()
    coalescer = ThreadCoalescer(sender)
    callers = hold_and_queue(sender, coalescer, [1, 2, 3])
    sender.fails = lambda _: error
    sender.open.set()

    assert {type(caller.done().error) for caller in callers} == {type(error)}
    sender.fails = lambda _: None
    assert coalescer.ask(5) == 10


def test_a_wrong_number_of_answers_is_everybodys_error() -> None:
    coalescer: ThreadCoalescer[int, int] = ThreadCoalescer(lambda asked: list(asked)[:-1])
    with pytest.raises(ValueError, match="zip"):
        coalescer.ask(1)
    with pytest.raises(ValueError, match="zip"):
        coalescer.ask(1)


@pytest.mark.parametrize("place", [1, 2, 3])
def test_a_waiter_that_is_interrupted_does_not_block_the_others(place: int) -> None:
    sender = Sender()
    coalescer = ThreadCoalescer(sender)
    callers = hold_and_queue(sender, coalescer, [1, 2, 3, 4])
    interrupted = callers.pop(place)
    # An interrupt is seen when the wait on the lock ends; so a caller is interrupted, and then its turn comes.
    interrupted.interrupt()
    sender.open.set()

    assert [caller.done().answer is not None for caller in callers] == [True] * 3
    interrupted.done()
    assert isinstance(interrupted.error, KeyboardInterrupt)
    assert coalescer.ask(5) == 10
    assert not coalescer._sending


def test_a_waiter_that_is_interrupted_before_its_turn_takes_its_question_back(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = Sender()
    coalescer = ThreadCoalescer(sender)
    first = hold_and_queue(sender, coalescer, [1])[0]
    with monkeypatch.context() as patch:
        patch.setattr(threading.Event, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            coalescer.ask(2)
    assert waiting(coalescer) == 0
    sender.open.set()

    assert first.done().answer == 2
    assert sender.batches == [[1]]
    assert coalescer.ask(5) == 10


def interrupted(*_: object) -> bool:
    raise KeyboardInterrupt


def test_a_waiter_that_is_interrupted_in_its_turn_passes_the_turn_on(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = Sender()
    coalescer = ThreadCoalescer(sender)
    callers: list[Caller] = []

    def interrupted_in_turn(event: threading.Event, *_: object) -> bool:
        monkeypatch.undo()
        callers.append(Caller(coalescer, 3))
        wait_until(lambda: waiting(coalescer) == 2)
        sender.open.set()
        assert event.wait(TIMEOUT_S)
        raise KeyboardInterrupt

    callers += hold_and_queue(sender, coalescer, [1])
    monkeypatch.setattr(threading.Event, "wait", interrupted_in_turn)
    with pytest.raises(KeyboardInterrupt):
        coalescer.ask(2)

    assert [caller.done().answer for caller in callers] == [2, 6]
    assert sender.batches == [[1], [3]]


def test_a_sender_that_is_interrupted_does_not_interrupt_the_others() -> None:
    sender = Sender()
    coalescer = ThreadCoalescer(sender)
    callers = hold_and_queue(sender, coalescer, [1, 2, 3, 4])
    sender.fails = lambda asked: KeyboardInterrupt() if asked[0] == 2 else None
    sender.open.set()
    errors = [type(caller.done().error) for caller in callers]

    assert errors == [type(None), KeyboardInterrupt, QueueUnavailable, QueueUnavailable]
    assert coalescer.ask(5) == 10


# The same in one loop.


class TaskSender:
    """Answers each question with its double, when it is let."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.fails: Callable[[Sequence[int]], BaseException | None] = lambda _: None

    async def __call__(self, asked: Sequence[int]) -> list[int]:
        self.batches.append(list(asked))
        await self.open.wait()
        if (error := self.fails(asked)) is not None:
            raise error
        return [2 * number for number in asked]


def in_loop(test: Callable[[TaskSender, TaskCoalescer[int, int]], Any]) -> Any:
    async def run() -> Any:
        sender = TaskSender()
        async with asyncio.timeout(TIMEOUT_S):
            return await test(sender, TaskCoalescer(sender))

    return asyncio.run(run())


def test_every_task_gets_its_own_answer() -> None:
    async def test(sender: TaskSender, coalescer: TaskCoalescer[int, int]) -> None:
        async def ask(number: int) -> int:
            await asyncio.sleep(number % 7 / 1000)
            return await coalescer.ask(number)

        assert await asyncio.gather(*map(ask, range(2_000))) == [2 * number for number in range(2_000)]
        assert sorted(number for batch in sender.batches for number in batch) == list(range(2_000))
        assert all(len(batch) <= MOST_PER_CALL for batch in sender.batches)
        assert len(sender.batches) < 200, "They were joined."

    in_loop(test)


def test_tasks_are_sent_in_batches_of_a_hundred() -> None:
    async def test(sender: TaskSender, coalescer: TaskCoalescer[int, int]) -> None:
        await asyncio.gather(*(coalescer.ask(number) for number in range(250)))
        assert [len(batch) for batch in sender.batches] == [MOST_PER_CALL, MOST_PER_CALL, 50]

    in_loop(test)


@pytest.mark.parametrize("error", [ValueError("no"), Unrepeatable("a", "b"), QueueUnavailable("gone")])
def test_an_error_reaches_every_task_of_its_call(error: Exception) -> None:
    async def test(sender: TaskSender, coalescer: TaskCoalescer[int, int]) -> None:
        sender.fails = lambda asked: error if 0 in asked else None
        answers = await asyncio.gather(*(coalescer.ask(number) for number in range(150)), return_exceptions=True)

        assert {type(answer) for answer in answers[:MOST_PER_CALL]} == {type(error)}
        if isinstance(error, QueueUnavailable):  # Nobody waits once more for a server that is away.
            assert {type(answer) for answer in answers} == {QueueUnavailable}
        else:
            assert answers[MOST_PER_CALL:] == [2 * number for number in range(MOST_PER_CALL, 150)]
        assert await coalescer.ask(7) == 14

    in_loop(test)


def test_a_wrong_number_of_answers_is_an_error_and_no_endless_wait() -> None:
    async def run() -> None:
        async def send(asked: Sequence[int]) -> list[int]:
            return [2 * number for number in asked][:-1]

        coalescer = TaskCoalescer(send)
        async with asyncio.timeout(TIMEOUT_S):
            answers = await asyncio.gather(coalescer.ask(1), coalescer.ask(2), return_exceptions=True)
        assert answers[0] == 2
        assert isinstance(answers[1], ValueError)

    asyncio.run(run())


def test_a_task_that_is_cancelled_does_not_take_its_question_back_nor_anybody_elses() -> None:
    async def test(sender: TaskSender, coalescer: TaskCoalescer[int, int]) -> None:
        async def ask(number: int) -> int:
            return await coalescer.ask(number)

        sender.open.clear()
        tasks = [asyncio.create_task(ask(number)) for number in range(3)]
        await asyncio.sleep(0.01)
        tasks[1].cancel()
        await asyncio.sleep(0)
        sender.open.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)

        assert (answers[0], answers[2]) == (0, 4)
        assert isinstance(answers[1], asyncio.CancelledError)
        assert sender.batches == [[0, 1, 2]]
        assert await coalescer.ask(7) == 14

    in_loop(test)


def test_a_sender_that_is_cancelled_cancels_those_who_wait_and_leaves_nobody_waiting() -> None:
    async def test(sender: TaskSender, coalescer: TaskCoalescer[int, int]) -> None:
        sender.open.clear()
        answers = [coalescer.ask(number) for number in range(150)]
        await asyncio.sleep(0.01)
        assert coalescer._sender is not None
        coalescer._sender.cancel()
        await asyncio.wait(answers)

        assert all(answer.cancelled() for answer in answers)
        sender.open.set()
        assert await coalescer.ask(7) == 14

    in_loop(test)


def test_it_can_be_waited_for_until_everything_is_answered() -> None:
    async def test(sender: TaskSender, coalescer: TaskCoalescer[int, int]) -> None:
        await coalescer.finish()
        answers = [coalescer.ask(number) for number in range(150)]
        await coalescer.finish()
        assert all(answer.done() for answer in answers)
        assert len(sender.batches) == 2

    in_loop(test)
