"""A hazard of a team's own, to try things with."""

from __future__ import annotations

from typing import Final

# What the shop learnt: a refund that is given as a float. Its file, as it would lie in `hazards/payments/float_refund.py`.
FLOAT_REFUND: Final = '''\
"""A refund that is a float is off by a cent, and nobody can say where it went.

## What happens
The amount is multiplied by a share and sent as it is.

## Why tests miss it
They refund whole amounts.

## What to write instead
`refund(amount_minor=...)`, a whole number of cents.

## Where it comes from
Our own incident of 3 May.
"""

from __future__ import annotations

import ast

from interlock.core.finding import Severity
from interlock.hazards.hazard import Hazard, Mutant
from interlock.source.edit import edited, replacing

from ._calls import refunds

HAZARD = Hazard(
    __name__,
    severity=Severity.HIGH,
    advice="refund whole cents: refund(amount_minor=...)",
    needles=((b"refund",),),
    signal="the sum of refunds differs from the ledger",
    scenario="a third of an amount is refunded",
    sources=("incidents/refund.toml",),
)


@HAZARD.detects(ast.Call)
def detect(node, module):
    for value in refunds(node):
        if isinstance(value, ast.Constant) and isinstance(value.value, float):
            yield HAZARD.finding(module, node, f"refunds {value.value}, a float")


@HAZARD.injects
def inject(module):
    for node in module.nodes(ast.Call):
        for value in refunds(node):
            if not isinstance(value, ast.Constant) or not isinstance(value.value, float):
                yield Mutant(node.lineno, "the refund is a float", edited(module, [replacing(module, value, "0.1")]))


BAD = ("""
def give_back(bank):
    bank.refund(0.5)  # expect: payments/float-refund
    return bank.refund(1.5)  # expect: payments/float-refund
""",)

GOOD = ("""
def give_back(bank, cents):
    bank.refund(cents)
    return bank.refund_all()
""",)
'''
CALLS: Final = '''\
"""What the hazards of payments share."""

import ast


def refunds(node):
    """What a call refunds."""
    if isinstance(node.func, ast.Attribute) and node.func.attr == "refund":
        yield from node.args
'''
SETTINGS: Final = '[hazards]\nfolder = "hazards"\n'
NAME: Final = "payments/float-refund"
PATH: Final = "hazards/payments/float_refund.py"
FILES: Final = {"interlock.toml": SETTINGS, PATH: FLOAT_REFUND, "hazards/payments/_calls.py": CALLS}
