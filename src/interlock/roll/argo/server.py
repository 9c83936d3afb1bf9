"""The address that Argo's analyses poll: GET, an answer in JSON, and nothing else.

/v1/rollouts/NAME/watch?canary=HASH&stable=HASH
/v1/rollouts/NAME/begin?canary=HASH&stable=HASH&step=0
/v1/rollouts/NAME/promote?canary=HASH&stable=HASH&step=0
/healthz
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from interlock.core.errors import UsageError, WorldError, nearest
from interlock.roll.argo.answers import Ask
from interlock.roll.argo.engine import Engine, looking

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from interlock.roll.argo.declared import Argo


@contextmanager
def serving(argo: Argo, folder: Path, host: str, port: int) -> Generator[ThreadingHTTPServer]:
    """Serves for as long as the block lasts.

    Raises:
        WorldError: If the port cannot be had.
    """
    engine, ends = Engine(argo, folder), threading.Event()
    try:
        server = ThreadingHTTPServer((host, port), _handler(argo.name, engine))
    except OSError as error:
        message = f"{host}:{port} cannot be listened to: {error.strerror}"
        raise WorldError(message) from error
    threads = [
        threading.Thread(target=server.serve_forever),
        threading.Thread(target=looking, args=(engine, argo.interval_s, ends)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield server
    finally:
        ends.set()
        server.shutdown()
        for thread in threads:
            thread.join()
        server.server_close()


def answered(name: str, engine: Engine, path: str) -> tuple[HTTPStatus, dict[str, Any]]:
    """The answer to one request."""
    asked = urlsplit(path)
    if asked.path == "/healthz":
        return HTTPStatus.OK, {"ok": True}
    *place, rollout, word = asked.path.split("/")
    if place != ["", "v1", "rollouts"] or rollout != name:
        return HTTPStatus.NOT_FOUND, {"error": f"no {asked.path}; expected /v1/rollouts/{name}/{'|'.join(Ask)}"}
    if word not in set(Ask):
        return HTTPStatus.NOT_FOUND, {"error": f"no question {word!r}; {nearest(word, Ask)}"}
    given = {key: values[-1] for key, values in parse_qs(asked.query).items()}
    step = int(given["step"]) if given.get("step", "").isdecimal() else None
    try:
        told = engine.answer(Ask(word), given.get("canary", ""), given.get("stable", ""), step, time.time())
    except UsageError as error:
        return HTTPStatus.BAD_REQUEST, {"error": str(error)}
    return HTTPStatus.OK, told


def _handler(name: str, engine: Engine) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answers."""
            status, body = answered(name, engine, self.path)
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its base has it.
            """Says nothing of each poll."""

    return Handler
