"""Many callers at once, in threads, tasks and processes: none is refused, no payment is lost, and none is stored twice."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from retryqueue import AsyncRetryQueue, Payment, PaymentConflict, RetryQueue, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from servers import RedisServer


# Nobody is refused, however long a machine takes that does a dozen other things at once.
PATIENCE_S = 120.0


def order(number: int, amount_minor: int = 4999) -> Payment:
    return Payment(
        key=f"order-{number}", user_id=f"u{number % 97}", amount_minor=amount_minor, currency="EUR", payment_method_id="pm_1"
    )


def at_once(callers: int, call: Callable[[int], Any]) -> list[Any]:
    """What all callers are answered, each in a thread of its own, begun together; raises what any of them raises."""
    gate = threading.Barrier(callers)

    def begin(caller: int) -> Any:
        gate.wait()
        return call(caller)

    with ThreadPoolExecutor(callers) as threads:
        return list(threads.map(begin, range(callers)))


def stored(queue: RetryQueue, numbers: Iterable[int]) -> bool:
    """Whether exactly these orders are scheduled, each as it was enqueued."""
    found = {item.key: item.payment for item in queue.items(State.SCHEDULED)}
    return found == {order(number).key: order(number) for number in numbers}


def enqueue_all(url: str, numbers: Sequence[int], threads: int, gate: Any, answers: Any) -> None:
    """One process: enqueues some orders from some threads, once the gate opens."""
    with RetryQueue(url, durability="ignore", patience_s=PATIENCE_S, connections=8) as queue:
        gate.wait()
        with ThreadPoolExecutor(threads) as pool:
            receipts = list(pool.map(lambda number: queue.enqueue(order(number)), numbers))
    answers.put([(receipt.key, receipt.answer) for receipt in receipts])


def from_processes(url: str, shares: Sequence[Sequence[int]], threads: int) -> list[tuple[str, str]]:
    """What processes are answered that enqueue their shares at the same time, each from some threads."""
    context = multiprocessing.get_context("spawn")
    gate, answers = context.Barrier(len(shares)), context.Queue()
    processes = [context.Process(target=enqueue_all, args=(url, share, threads, gate, answers)) for share in shares]
    for process in processes:
        process.start()
    try:
        told = [answer for _ in processes for answer in answers.get(timeout=200)]
        for process in processes:
            process.join(timeout=90)
        assert [process.exitcode for process in processes] == [0] * len(processes)
    finally:
        for process in processes:
            process.kill()
            process.join()
            process.close()
        answers.close()
        answers.join_thread()
    return told


def test_10000_payments_from_50_threads_of_10_processes_are_each_stored_once(server: RedisServer, queue: RetryQueue) -> None:
    told = from_processes(server.url, [range(first, 10_000, 10) for first in range(10)], threads=5)

    assert Counter(answer for _, answer in told) == {"new": 10_000}
    assert len({key for key, _ in told}) == 10_000
    assert queue.status().counts[State.SCHEDULED] == 10_000
    assert stored(queue, range(10_000))


def test_10000_payments_from_50_threads_of_one_process_are_each_stored_once(queue: RetryQueue) -> None:
    def enqueue(caller: int) -> list[str]:
        return [queue.enqueue(order(number)).answer for number in range(caller, 10_000, 50)]

    answers = at_once(50, enqueue)

    assert Counter(answer for told in answers for answer in told) == {"new": 10_000}
    assert stored(queue, range(10_000))


def test_10000_payments_from_one_loop_are_each_stored_once(server: RedisServer, queue: RetryQueue) -> None:
    async def main() -> Counter[str]:
        async with AsyncRetryQueue(server.url, durability="ignore", patience_s=PATIENCE_S) as many:
            receipts = await asyncio.gather(*(many.enqueue(order(number)) for number in range(10_000)))
        return Counter(receipt.answer for receipt in receipts)

    assert asyncio.run(main()) == {"new": 10_000}
    assert stored(queue, range(10_000))


def test_of_50_threads_that_enqueue_the_same_50_payments_exactly_one_each_is_told_new(queue: RetryQueue) -> None:
    def enqueue(caller: int) -> list[tuple[str, str]]:
        receipts = [queue.enqueue(order((caller + turn) % 50)) for turn in range(50)]
        return [(receipt.key, receipt.answer) for receipt in receipts]

    told = Counter(answer for answers in at_once(50, enqueue) for answer in answers)

    assert {key: count for (key, answer), count in told.items() if answer == "new"} == {order(n).key: 1 for n in range(50)}
    assert sum(count for (_, answer), count in told.items() if answer == "duplicate") == 50 * 49
    assert stored(queue, range(50))


def test_of_10_processes_that_enqueue_the_same_50_payments_exactly_one_each_is_told_new(
    server: RedisServer, queue: RetryQueue
) -> None:
    told = Counter(from_processes(server.url, [range(50)] * 10, threads=5))

    assert {key: count for (key, answer), count in told.items() if answer == "new"} == {order(n).key: 1 for n in range(50)}
    assert sum(count for (_, answer), count in told.items() if answer == "duplicate") == 9 * 50
    assert stored(queue, range(50))


def test_of_50_payments_with_one_key_at_once_one_is_stored_and_all_others_are_told_of_the_conflict(queue: RetryQueue) -> None:
    def enqueue(caller: int) -> str:
        try:
            return queue.enqueue(order(1, amount_minor=caller + 1)).answer
        except PaymentConflict:
            return "conflict"

    assert Counter(at_once(50, enqueue)) == {"new": 1, "conflict": 49}
    assert queue.status().counts[State.SCHEDULED] == 1


@pytest.mark.parametrize("connections", [1, 2, 32])
def test_1000_threads_at_once_are_refused_nothing_whatever_the_number_of_connections(
    server: RedisServer, queue: RetryQueue, connections: int
) -> None:
    named = f"{server.url}?client_name=many"
    with RetryQueue(named, durability="ignore", patience_s=PATIENCE_S, connections=connections) as many:
        answers = at_once(1_000, lambda caller: many.enqueue(order(caller)).answer)
        with server.client() as client:
            opened = sum(found["name"] == "many" for found in client.client_list())

    assert Counter(answers) == {"new": 1_000}
    assert stored(queue, range(1_000))
    assert 1 <= opened <= connections


@pytest.mark.parametrize("connections", [1, 32])
def test_1000_threads_that_ask_one_thing_each_share_the_connections(
    server: RedisServer, queue: RetryQueue, connections: int
) -> None:
    queue.enqueue_many([order(number) for number in range(1_000)])
    with RetryQueue(server.url, durability="ignore", patience_s=PATIENCE_S, connections=connections) as many:
        found = at_once(1_000, lambda caller: many.inspect(order(caller).key))

    assert [item.payment for item in found] == [order(number) for number in range(1_000)]


@pytest.mark.parametrize("connections", [1, 32])
def test_1000_tasks_at_once_are_refused_nothing_whatever_the_number_of_connections(
    server: RedisServer, queue: RetryQueue, connections: int
) -> None:
    async def main() -> tuple[Counter[str], list[Payment | None]]:
        async with AsyncRetryQueue(server.url, durability="ignore", patience_s=PATIENCE_S, connections=connections) as many:
            receipts = await asyncio.gather(*(many.enqueue(order(number)) for number in range(1_000)))
            found = await asyncio.gather(*(many.inspect(order(number).key) for number in range(1_000)))
        return Counter(receipt.answer for receipt in receipts), [item.payment if item else None for item in found]

    answers, payments = asyncio.run(main())

    assert answers == {"new": 1_000}
    assert payments == [order(number) for number in range(1_000)]
    assert stored(queue, range(1_000))


@pytest.mark.parametrize("connections", [1, 2, 32])
def test_50_batches_at_once_are_stored_whole_whatever_the_number_of_connections(
    server: RedisServer, queue: RetryQueue, connections: int
) -> None:
    with RetryQueue(server.url, durability="ignore", patience_s=PATIENCE_S, connections=connections) as many:

        def enqueue(caller: int) -> Counter[str]:
            batch = (order(number) for number in range(caller * 220, caller * 220 + 220))
            return Counter(receipt.answer for receipt in many.enqueue_many(batch))

        assert sum(at_once(50, enqueue), Counter()) == {"new": 11_000}
    assert stored(queue, range(11_000))


def test_a_cancelled_caller_takes_nothing_from_the_others(server: RedisServer, queue: RetryQueue) -> None:
    async def main() -> list[str]:
        async with AsyncRetryQueue(server.url, durability="ignore", patience_s=PATIENCE_S) as many:
            tasks = [asyncio.create_task(many.enqueue(order(number))) for number in range(300)]
            await asyncio.sleep(0.002)
            for task in tasks[::3]:
                task.cancel()
            told = await asyncio.gather(*tasks, return_exceptions=True)
        return [receipt.answer for number, receipt in enumerate(told) if number % 3 and not isinstance(receipt, BaseException)]

    assert asyncio.run(main()) == ["new"] * 200
    found = {item.key for item in queue.items(State.SCHEDULED)}
    assert {order(number).key for number in range(300) if number % 3} <= found


def in_a_fork(run: Callable[[], object]) -> int:
    """The exit status of a forked child that runs something: 0 if it raised nothing."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        run()
        status = 0
    finally:
        os._exit(status)


def ended_well(children: Sequence[int]) -> bool:
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * len(children)


def test_a_queue_that_was_used_before_a_fork_is_used_by_the_children_and_the_parent_at_once(queue: RetryQueue) -> None:
    queue.enqueue(order(0))

    def enqueue(first: int) -> None:
        with ThreadPoolExecutor(4) as threads:
            answers = set(threads.map(lambda number: queue.enqueue(order(number)).answer, range(first, first + 200)))
        assert answers == {"new"}

    children = [in_a_fork(lambda first=first: enqueue(first)) for first in range(1, 1601, 200)]  # type: ignore[misc]
    enqueue(1601)

    assert ended_well(children)
    assert stored(queue, range(1801))


def test_a_fork_while_other_threads_enqueue_leaves_parent_and_children_able_to_go_on(queue: RetryQueue) -> None:
    over = threading.Event()
    numbers = iter(range(1_000_000))
    lock = threading.Lock()
    told: list[str] = []
    queue.status()  # The first call loads scripts, and nobody can go on after a fork in the middle of an import.

    def enqueue_until_over() -> None:
        while not over.is_set():
            with lock:
                number = next(numbers)
            told.append(queue.enqueue(order(number)).answer)

    def enqueue_in_child(first: int) -> None:
        assert {queue.enqueue(order(number)).answer for number in range(first, first + 20)} == {"new"}

    with ThreadPoolExecutor(8) as threads:
        tasks = [threads.submit(enqueue_until_over) for _ in range(8)]
        try:
            starts = range(2_000_000, 2_000_400, 20)
            children = [in_a_fork(lambda first=first: enqueue_in_child(first)) for first in starts]  # type: ignore[misc]
            assert ended_well(children)
        finally:
            over.set()
        for task in tasks:
            task.result()

    assert set(told) == {"new"}
    assert stored(queue, [*range(len(told)), *range(2_000_000, 2_000_400)])
