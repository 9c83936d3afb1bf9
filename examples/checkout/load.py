"""What production would see of one release: `python load.py WORKTREE`.

The release's own code runs in this process, unmodified, on a real Valkey and a real SQLite file. Only the payment
provider is ours: like the real ones it answers a repeated idempotency key with what it answered first, and it counts.

1. Twenty people sign up in quick succession. If that fails, nothing else is tried.
2. The provider has an outage while payments come in, by default 420 a second from 400 people. It charges one payment
   in ten all the same, and the answer is lost. One customer in ten presses the button again a second later, if the
   outage still lasts.
3. The provider is back. Whoever was told to try again does, and two workers empty the retry queue if there is one.

Every number is counted while this happens. What is random is drawn from a seed; what threads do is not repeatable.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import redis
from embedded import running_valkey
from fastapi import HTTPException

if TYPE_CHECKING:  # The release is found only when WORKTREE is known.
    from shop.context import Shop

SIGN_UPS = 20
USERS = 400
SECOND_PRESS_EVERY = 10
SECOND_PRESS_AFTER_S = 1.0
LOST_ANSWER_EVERY = 10
ANSWER_TIME_S = 0.002
CUSTOMERS_AT_ONCE = 16
WORKERS = 2
DRAIN_LIMIT_S = 12.0


class Queue(Protocol):
    """What the retry queues of all releases have in common."""

    def process_retries(self) -> int: ...
    def pending(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How many payments come in, and how fast."""

    rate: int
    payments: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUps:
    """What became of the sign-ups."""

    tried: int
    failed: int
    first_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payments:
    """What became of the payments."""

    per_second: int  # As it came out.
    asked: int
    refused: int  # Told to try again while the provider was away.
    broke: int  # Answered with an error that nobody planned.
    first_error: str | None
    accepted: int  # Told that the shop has it, or that it is paid.
    stored: int | None  # In the retry queue when the provider came back; None if there is no queue.
    unfinished: int  # Still in the queue at the end.
    lost: int  # Accepted, never charged, and not in the queue.
    charged_twice: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What production would see of a release."""

    sign_ups: SignUps
    payments: Payments | None  # None if sign-up failed.
    seconds: float

    def sentence(self) -> str:
        """The same in one line."""
        if self.payments is None:
            tried, failed = self.sign_ups.tried, self.sign_ups.failed
            return f"{tried} sign-ups in quick succession: {tried - failed} worked, {failed} failed"
        paid = self.payments
        facts = [f"{paid.accepted:,} accepted"]
        facts += [f"{paid.broke:,} broke"] if paid.broke else []
        facts += [f"{paid.stored:,} stored for a retry"] if paid.stored is not None else []
        facts += [f"{paid.unfinished:,} not done"] if paid.unfinished else []
        facts += [f"{paid.lost:,} lost", f"{paid.charged_twice:,} charged twice"]
        return f"at {paid.per_second} payments a second: {', '.join(facts)}"

    def harm(self) -> str:
        """Who was harmed, in a few words; empty if nobody was."""
        if self.payments is None:
            return f"{self.sign_ups.failed} of {self.sign_ups.tried} sign-ups failed"
        counts = {
            "lost": self.payments.lost,
            "charged twice": self.payments.charged_twice,
            "broke": self.payments.broke,
        }
        return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


class Provider:
    """The other side of the payment provider's API."""

    def __init__(self) -> None:
        self.away = False
        self.charges: Counter[str] = Counter()  # By payment method, of which each customer's order has its own.
        self._answered: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """One request for a charge."""
        time.sleep(ANSWER_TIME_S)
        key, body = request.headers["Idempotency-Key"], request.content
        with self._lock:
            if self._answered.get(key, body) != body:
                return httpx.Response(400, json={"error": "this key was for another charge"})
            number = int(json.loads(body)["payment_method_id"].removeprefix("pm_"))
            if self.away and number % LOST_ANSWER_EVERY:
                return httpx.Response(503)
            if key not in self._answered:
                self._answered[key] = body
                self.charges[f"pm_{number}"] += 1
        if self.away:
            raise httpx.ReadTimeout("the answer was lost", request=request)
        return httpx.Response(201)


class Street:
    """The customers: who has pressed the button, and what they were told last."""

    def __init__(self, shop: Shop, users: list[Any], payments: int, seed: int) -> None:
        from shop.checkout import Checkout, post_checkout

        draw = random.Random(seed)
        self._press = post_checkout
        self._shop = shop
        self._customers = [
            (
                Checkout(checkout_id=uuid.UUID(int=number), sku="sencha", quantity=1, payment_method_id=f"pm_{number}"),
                draw.choice(users),
            )
            for number in range(payments)
        ]
        self.told: dict[int, str] = {}
        self.first_error: str | None = None

    def press(self, number: int) -> None:
        """One customer presses the button."""
        form, user = self._customers[number]
        try:
            self._press(form, user, self._shop)
        except HTTPException as refusal:
            self._note(number, "refused" if refusal.status_code == 503 else "broke", refusal)
        except Exception as error:  # Whatever else comes out of a route is a 500 for the customer.
            self._note(number, "broke", error)
        else:
            self._note(number, "accepted")

    def _note(self, number: int, answer: str, error: Exception | None = None) -> None:
        self.told[number] = answer
        if answer == "broke" and error is not None and self.first_error is None:
            self.first_error = _in_a_line(error)

    def count(self, answer: str) -> int:
        """How many customers were told this last."""
        return sum(told == answer for told in self.told.values())

    def told_to_try_again(self) -> list[int]:
        """Who was refused."""
        return [number for number, told in self.told.items() if told == "refused"]


@contextmanager
def open_shop(provider: Provider) -> Iterator[tuple[Shop, Callable[[], Queue] | None]]:
    """A shop of the release in this process, and what makes a retry queue for a worker."""
    import shop.app  # noqa: F401 - as when it is deployed: this brings every table with it.
    from shop.context import Shop
    from shop.database import open_database
    from shop.payments.provider import Provider as ProviderClient

    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="shop-"))
        transport = httpx.MockTransport(provider)
        http = stack.enter_context(httpx.Client(transport=transport, base_url="https://api.pay.example"))
        sessions = open_database(f"sqlite:///{folder}/shop.db")
        client = ProviderClient(http)
        if find_spec("shop.payments.retry_queue") is None:
            yield Shop(sessions, client), None
            return
        from shop.checkout import complete_order
        from shop.payments.retry_queue import PaymentRetryQueue

        socket = str(stack.enter_context(running_valkey()))

        def make_queue() -> PaymentRetryQueue:
            connection = stack.enter_context(redis.Redis(unix_socket_path=socket, decode_responses=True))
            return PaymentRetryQueue(connection, client, partial(complete_order, sessions), retry_delay_s=0)

        yield Shop(sessions, client, make_queue()), make_queue


def sign_up(shop: Shop) -> tuple[list[Any], SignUps]:
    """Signs people up one after the other; gives those who got in."""
    from shop.accounts.routes import SignUp, post_sign_up
    from shop.accounts.sign_up import user_of

    users, errors = [], []
    for number in range(SIGN_UPS):
        try:
            account = post_sign_up(SignUp(email=f"customer{number}@example.com"), shop)
        except Exception as error:  # The visitor sees a 500, whatever it is.
            errors.append(_in_a_line(error))
        else:
            users.append(user_of(shop.sessions, account.token))
    return users, SignUps(tried=SIGN_UPS, failed=len(errors), first_error=next(iter(errors), None))


def earlier_users(shop: Shop) -> list[Any]:
    """People who signed up long before, so that payments come from USERS in all."""
    from shop.accounts.models import User

    earlier = [User(email=f"earlier{number}@example.com", token_digest=str(number)) for number in range(USERS - SIGN_UPS)]
    with shop.sessions() as session:
        session.add_all(earlier)
        session.commit()
    return earlier


def _in_a_line(error: Exception) -> str:
    first_line = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first_line}"


def arrive(street: Street, payments: int, rate: int) -> int:
    """Presses the button at this rate, on the real clock; gives the rate that came of it."""
    presses = [(number / rate, number) for number in range(payments)]
    impatient = [(at_s + SECOND_PRESS_AFTER_S, number) for at_s, number in presses[::SECOND_PRESS_EVERY]]
    presses += [press for press in impatient if press < presses[-1]]
    start_s = time.monotonic()
    first_presses_done_s = start_s
    with ThreadPoolExecutor(CUSTOMERS_AT_ONCE) as crowd:
        pressed = []
        for at_s, number in sorted(presses):
            time.sleep(max(0.0, start_s + at_s - time.monotonic()))
            pressed.append(crowd.submit(street.press, number))
            if number == payments - 1:
                pressed[-1].result()
                first_presses_done_s = time.monotonic()
    return round(payments / (first_presses_done_s - start_s))


def drain(make_queue: Callable[[], Queue]) -> int:
    """Two workers empty the queue; gives what is left when they may not go on."""
    together = threading.Barrier(WORKERS)
    deadline_s = time.monotonic() + DRAIN_LIMIT_S

    def work(queue: Queue) -> None:
        together.wait()
        while queue.pending() and time.monotonic() < deadline_s:
            queue.process_retries()

    with ThreadPoolExecutor(WORKERS) as workers:
        for worker in [workers.submit(work, make_queue()) for _ in range(WORKERS)]:
            worker.result()
    return make_queue().pending()


def pay(make_queue: Callable[[], Queue] | None, provider: Provider, street: Street, load: Load) -> Payments:
    """An outage of the provider, and what is left of it afterwards."""
    provider.away = True
    per_second = arrive(street, load.payments, load.rate)
    stored = make_queue().pending() if make_queue else None
    refused = street.told_to_try_again()
    provider.away = False
    with ThreadPoolExecutor(CUSTOMERS_AT_ONCE) as crowd:
        list(crowd.map(street.press, refused))
    unfinished = drain(make_queue) if make_queue else 0
    uncharged = sum(told == "accepted" and not provider.charges[f"pm_{n}"] for n, told in street.told.items())
    return Payments(
        per_second=per_second,
        asked=load.payments,
        refused=len(refused),
        broke=street.count("broke"),
        first_error=street.first_error,
        accepted=street.count("accepted"),
        stored=stored,
        unfinished=unfinished,
        lost=max(0, uncharged - unfinished),
        charged_twice=sum(times > 1 for times in provider.charges.values()),
    )


def run(load: Load) -> Report:
    """The whole load on the release that can be imported."""
    start_s = time.monotonic()
    provider = Provider()
    with open_shop(provider) as (shop, make_queue):
        users, sign_ups = sign_up(shop)
        payments = None
        if not sign_ups.failed:
            users += earlier_users(shop)
            street = Street(shop, users, load.payments, load.seed)
            payments = pay(make_queue, provider, street, load)
    return Report(sign_ups=sign_ups, payments=payments, seconds=round(time.monotonic() - start_s, 2))


def main() -> int:
    """Exit 0 if the load ran, whatever it showed; 2 if there is no release to run."""
    parser = argparse.ArgumentParser(description="Put a release of the shop under load.")
    parser.add_argument("worktree", type=Path, metavar="WORKTREE", help="a checked-out release")
    parser.add_argument("--rate", type=int, default=420, help="payments a second (%(default)s)")
    parser.add_argument("--seconds", type=float, default=1.5, help="how long they come in (%(default)s)")
    parser.add_argument("--seed", type=int, default=17, help="who pays when (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    options = parser.parse_args()
    if not (options.worktree / "shop" / "app.py").is_file():
        parser.error(f"{options.worktree} holds no release of the shop")
    sys.path.insert(0, str(options.worktree.resolve()))
    logging.disable(logging.CRITICAL)
    report = run(Load(rate=options.rate, payments=round(options.rate * options.seconds), seed=options.seed))
    sentences = {"sentence": report.sentence(), "harm": report.harm()}
    print(json.dumps(asdict(report) | sentences) if options.json else report.sentence())
    return 0


if __name__ == "__main__":
    sys.exit(main())
