"""Runs a worker with your charge function, until SIGTERM or Ctrl-C: what is being charged is finished, the rest given back.

MODULE:FUNCTION is imported as Python would from this folder. The function takes a Lease and answers Succeeded, Declined or
Ambiguous; it may be a coroutine function. A worker that was stopped has done what was asked: exit code 0. While the server
does not answer, it waits.
"""

from __future__ import annotations

import importlib
import logging
import sys
import traceback
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from retryqueue.cli import connection, policy_options
from retryqueue.cli.console import safe
from retryqueue.cli.errors import UsageError
from retryqueue.errors import RetryQueueError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator

    from prometheus_client import CollectorRegistry

    from retryqueue.charging import Charge
    from retryqueue.cli.console import Console
    from retryqueue.events import Hook
    from retryqueue.prometheus import DepthCollector

HELP = "run a worker with your charge function"
CONCURRENCY = 8
LARGEST_PORT = 65_535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("charge", metavar="MODULE:FUNCTION", help="the charge function")
    parser.add_argument(
        "--concurrency",
        type=connection.count,
        default=CONCURRENCY,
        metavar="N",
        help=f"how many payments are charged at the same time (default: {CONCURRENCY})",
    )
    parser.add_argument(
        "--prefetch", type=connection.count, metavar="N", help="how many more are claimed ahead (default: as many)"
    )
    parser.add_argument(
        "--durability",
        choices=("require", "warn", "ignore"),
        default="warn",
        help="what to do if the server does not keep what it accepts (default: warn)",
    )
    parser.add_argument(
        "--metrics-port", type=connection.count, metavar="PORT", help="serve metrics for Prometheus on this port"
    )
    parser.add_argument(
        "--metrics-host", default="127.0.0.1", metavar="ADDRESS", help="and on this address (default: 127.0.0.1; all: 0.0.0.0)"
    )
    policy_options.add_arguments(parser)


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Works until it is stopped."""
    from retryqueue.worker import Worker  # noqa: PLC0415 - not needed for the help.

    level = logging.WARNING if console.quiet else logging.INFO
    handler = logging.StreamHandler()
    handler.addFilter(_is_news)
    logging.basicConfig(level=level, handlers=[handler], format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    address, policy = connection.address(arguments), policy_options.policy_of(arguments)
    if arguments.concurrency < 1:
        raise UsageError("--concurrency must be at least 1")
    connection.opened(arguments).close()  # Tells what is wrong with address and name, if anything is.
    charge = charge_function(arguments.charge)
    with ExitStack() as stack:
        hook = stack.enter_context(_metrics(arguments)) if arguments.metrics_port is not None else None
        worker = Worker(
            address,
            charge,
            name=arguments.queue,
            policy=policy,
            concurrency=arguments.concurrency,
            prefetch=arguments.prefetch,
            durability=arguments.durability,
            hook=hook,
        )
        worker.run()
    return 0


def charge_function(name: str) -> Charge:
    """The function that `MODULE:FUNCTION` names.

    Raises:
        UsageError: If there is none; with where it failed, if its module cannot be imported.
    """
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        raise UsageError(f"expected MODULE:FUNCTION, found {name}")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:  # A command's path does not begin with the folder it runs in.
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise UsageError(f"{safe(module_name)} cannot be imported: {_told(error)}") from error
    for part in path.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise UsageError(f"{module_name} has no function {path}")
    return cast("Charge", found)


def _told(error: Exception) -> str:
    """What went wrong and, if it did in what was imported, where; without the steps of the import itself."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_of_import(frame.filename)]
    what = "".join(traceback.format_exception_only(error)).strip()
    return "\n".join([what, *traceback.StackSummary.from_list(frames).format()]).rstrip()


def _is_of_import(file: str) -> bool:
    return file in {__file__, importlib.__file__} or file.startswith("<frozen importlib")


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a record of the log says more than what the command says itself when it ends with an error of ours."""
    error = record.exc_info[1] if record.exc_info else None
    return record.levelno < logging.CRITICAL or not isinstance(error, RetryQueueError)


@contextmanager
def _metrics(arguments: argparse.Namespace) -> Generator[Hook]:
    """Serves the metrics; gives the hook that counts."""
    from retryqueue.prometheus import DepthCollector, MissingPrometheus, PrometheusHook, serve  # noqa: PLC0415 - an extra.

    if arguments.metrics_port > LARGEST_PORT:
        raise UsageError(f"--metrics-port must be at most {LARGEST_PORT}")
    try:
        hook = PrometheusHook(queue=arguments.queue)
    except MissingPrometheus as error:
        raise UsageError(str(error)) from None
    with connection.opened(arguments) as queue, _registered(hook.registry, DepthCollector(queue)):
        try:
            stop = serve(hook.registry, arguments.metrics_host, arguments.metrics_port)
        except OSError as error:
            place = f"{arguments.metrics_host}:{arguments.metrics_port}"
            raise UsageError(f"metrics cannot be served on {safe(place)}: {error.strerror}") from error
        try:
            yield hook
        finally:
            stop()


@contextmanager
def _registered(registry: CollectorRegistry, collector: DepthCollector) -> Generator[None]:
    registry.register(collector)
    try:
        yield
    finally:
        registry.unregister(collector)
