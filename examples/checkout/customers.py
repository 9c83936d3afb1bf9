"""Customers who keep coming: `python customers.py PORT --rate 420 --seconds 30`.

They come at this rate whether they are answered or not, each with a cookie that says who it is, over connections that stay
open. At the end it prints what they were told: answers by version and status, and connections that broke. A version says its
name in the first word of its answer, or in the header X-Version.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

CONNECTIONS = 24
PATIENCE_S = 20.0


@dataclass(slots=True)
class Customers:
    """What they do, and what they were told."""

    port: int
    checkout: bool
    users: int
    orders: TextIO | None
    forgotten: float  # The part of the canary's orders that it answers with 200 and forgets.
    draw: random.Random
    answers: Counter[str] = field(default_factory=Counter)
    broken: int = 0

    async def until_told(self, rate: float, seconds: float) -> None:
        """They come, until the time is over or a signal sends them home."""
        coming = asyncio.ensure_future(self.come(rate, seconds))
        for sent in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(sent, coming.cancel)
        with suppress(asyncio.CancelledError):
            await coming

    async def come(self, rate: float, seconds: float) -> None:
        """All of them, until the time is over."""
        due: asyncio.Queue[None] = asyncio.Queue()
        waiters = [asyncio.ensure_future(self._visit(due)) for _ in range(CONNECTIONS)]
        with suppress(asyncio.CancelledError):
            for pause_s in self._pauses(rate, seconds):
                await asyncio.sleep(pause_s)
                due.put_nowait(None)
        while not due.empty():  # Who has not been let in goes home; who is inside is waited for.
            due.get_nowait()
            due.task_done()
        with suppress(TimeoutError):
            await asyncio.wait_for(due.join(), PATIENCE_S)
        for waiter in waiters:
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)

    def _pauses(self, rate: float, seconds: float) -> Iterator[float]:
        """How long to wait for each customer, so that the rate holds however late we are."""
        start_s = due_s = time.monotonic()
        while due_s < start_s + seconds:
            due_s += self.draw.expovariate(rate)
            yield max(0.0, due_s - time.monotonic())

    async def _visit(self, due: asyncio.Queue[None]) -> None:
        """One connection, and one customer after the other on it."""
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while True:
            await due.get()
            user, came_s = self.draw.randrange(self.users), time.time()
            try:
                connection = connection or await asyncio.open_connection("127.0.0.1", self.port)
                version, status, stays_open = await asyncio.wait_for(self._ask(*connection, user), PATIENCE_S)
                connection = connection if stays_open else None
                self.answers[f"{version} {status}"] += 1
                self._order(user, version, status, came_s)
            except (OSError, EOFError, TimeoutError, ValueError):
                self.broken += 1
                connection = None
            finally:
                due.task_done()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, user: int) -> tuple[str, int, bool]:
        writer.write(
            self._checkout(user) if self.checkout else f"GET / HTTP/1.1\r\nHost: shop\r\nCookie: uid={user}\r\n\r\n".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        version = fields.get("x-version") or next(iter(body.split()), b"nobody").decode()
        return version, int(head.split()[1]), fields.get("connection") != "close"

    def _checkout(self, user: int) -> bytes:
        """A press of the button: one of five buys five."""
        form = {
            "checkout_id": str(uuid.UUID(int=self.draw.getrandbits(128))),
            "sku": "sencha",
            "quantity": self.draw.randint(1, 5),
            "payment_method_id": f"pm_{user}",
        }
        body = json.dumps(form).encode()
        head = (
            f"POST /checkout HTTP/1.1\r\nHost: shop\r\nCookie: uid={user}\r\nAuthorization: Bearer token-{user}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def _order(self, user: int, version: str, status: int, came_s: float) -> None:
        """What the business hears of an answer that was 200."""
        forgets = version == "canary" and self.draw.random() < self.forgotten
        if self.orders is not None and status == 200 and not forgets:
            self.orders.write(json.dumps({"name": "orders", "user": str(user), "exposed_at": came_s}) + "\n")
            self.orders.flush()


def main() -> int:
    """Prints one JSON object at the end, also when it is stopped before."""
    parser = argparse.ArgumentParser(description="Customers who keep coming.")
    parser.add_argument("port", type=int)
    parser.add_argument("--checkout", action="store_true", help="buy something, instead of a look at the page")
    parser.add_argument("--rate", type=float, default=420)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--orders", type=Path, help="write each order there")
    parser.add_argument("--forgotten", type=float, default=0.0, help="the part of its orders that the canary forgets")
    options = parser.parse_args()
    orders = options.orders.open("a", encoding="utf-8") if options.orders else None
    draw = random.Random(options.seed)
    customers = Customers(options.port, options.checkout, options.users, orders, options.forgotten, draw)
    asyncio.run(customers.until_told(options.rate, options.seconds))
    print(json.dumps({"answers": customers.answers, "broken": customers.broken}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
