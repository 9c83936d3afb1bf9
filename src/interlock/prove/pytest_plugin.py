"""Contracts as tests: a function under `@contract` in a test module is a test, and its failure is the story.

Whoever has no contracts pays for one small module: everything else is imported when the first contract is met.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interlock.prove.contract import Contract
    from interlock.prove.proof import Proof


class NotProvedError(Exception):
    """The contract is broken, or nobody knows."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long each contract may take."""
    parser.getgroup("interlock").addoption(
        "--interlock-budget", default="10s", metavar="TIME", help="how long each contract may take, such as 60s (default: 10s)"
    )


def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> list[pytest.Item] | None:  # noqa: ARG001 - pytest looks it up by its name.
    """A test for each contract of a module; for each scenario, if it is a ready one."""
    contracts = sys.modules.get("interlock.prove.contract")
    if contracts is None or not isinstance(obj, contracts.Contract):  # Nobody has one who has not imported it.
        return None
    found = _apart(cast("Contract", obj))
    return [ContractItem.from_parent(collector, name=one.name, contract=one) for one in found]  # pyright: ignore[reportUnknownMemberType] - as below.


class ContractItem(pytest.Item):
    """A contract that is proved as a test."""

    def __init__(self, *, contract: Contract, **options: Any) -> None:
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType] - pytest's own types are partial.
        self.contract = contract

    def runtest(self) -> None:
        """Proves it. Unknown is no pass.

        Raises:
            NotProvedError: If it is not proved.
        """
        try:
            from interlock.prove.explore import watched  # noqa: PLC0415 - greenlets are needed here, and only here.
        except ModuleNotFoundError as error:
            raise NotProvedError(
                f"{error.name} is not installed; a contract needs it: pip install 'interlock[prove]'"
            ) from error

        from interlock.core.seconds import seconds  # noqa: PLC0415 - as above.

        budget_s = seconds("--interlock-budget", str(self.config.getoption("--interlock-budget")))
        proof = watched(self.contract, budget_s=budget_s)
        if proof.verdict != "pass":
            raise NotProvedError("\n".join(_told(self.contract, proof)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The story, without a traceback of ours."""
        from interlock.core.errors import InterlockError  # noqa: PLC0415 - as above.

        if isinstance(excinfo.value, NotProvedError | InterlockError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Where it stands."""
        code = getattr(self.contract.arrange, "__code__", None)
        return self.path, code.co_firstlineno - 1 if code is not None else None, self.name


def _apart(contract: Contract) -> Iterable[Contract]:
    """Its scenarios; itself, if it cannot be set up, so that the test says why."""
    from interlock.core.errors import InterlockError  # noqa: PLC0415 - as above.

    try:
        from interlock.prove.loading import apart  # noqa: PLC0415 - as above.

        return apart(contract)
    except (InterlockError, ModuleNotFoundError):
        return [contract]


def _told(contract: Contract, proof: Proof) -> list[str]:
    from interlock.core.counting import counted  # noqa: PLC0415 - as above.
    from interlock.prove.replay import kept, write  # noqa: PLC0415 - as above.
    from interlock.prove.story import story  # noqa: PLC0415 - as above.

    head = f"{proof.contract}: {proof.verdict} ({counted(proof.schedules, 'schedule')}, {proof.seconds:.1f} s)"
    if proof.violation is None or proof.finding is None:
        return [head, f"unknown: {proof.reason}"]
    replay = write(kept(contract, proof.finding.schedule, proof.finding.violation))
    return [head, *story(proof.violation), proof.finding.confirmation.said, f"again: interlock prove --replay {replay}"]
