"""The payment provider's side, over HTTP: `python provider.py PORT ORDERS`.

Like the real ones it answers a repeated idempotency key with what it answered first, and refuses the key for another charge. Of
each charge it tells the shop's business, as a webhook would: a line in the file ORDERS.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path


class Ledger:
    """What was charged, by its key."""

    def __init__(self, orders: Path) -> None:
        self._charged: dict[bytes, bytes] = {}
        self._orders = orders.open("a", encoding="utf-8")

    def charge(self, key: bytes, body: bytes) -> int:
        """The status of the answer."""
        before = self._charged.setdefault(key, body)
        if before is body:
            user = json.loads(body)["payment_method_id"].removeprefix("pm_")
            self._orders.write(
                json.dumps({"name": "orders", "user": user}) + "\n"
            )  # Who was shown what when, the router knows.
            self._orders.flush()
        return 201 if before == body else 400

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the shop."""
        with suppress(EOFError, OSError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
                body = await reader.readexactly(int(fields[b"content-length"]))
                status = self.charge(fields[b"idempotency-key"], body)
                writer.write(f"HTTP/1.1 {status} OK\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()


async def main() -> None:
    """Serves until it is stopped."""
    server = await asyncio.start_server(Ledger(Path(sys.argv[2])).serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
