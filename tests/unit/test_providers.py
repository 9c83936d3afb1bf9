"""Modules that talk to a payment or identity provider and belong to nobody are asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interlock.core.verdict import Verdict
from interlock.gate.change import Change
from interlock.gate.providers import contacts, providers, unclaimed
from interlock.gate.questions.touched import ask

if TYPE_CHECKING:
    from tests.conftest import Git

MAP = '[[feature]]\nname = "payments"\ntier = 3\npaths = ["shop/payments/**"]\nroutes = ["/checkout"]\n'
NOT_OURS = 'import stripe\n\n\n@app.post("/checkout")\ndef pay():\n    stripe.Charge.create()\n'


def reached(text: str) -> list[tuple[int, str]]:
    """Whom a module reaches for: line, provider."""
    return [(contact.line, contact.provider.name) for contact in contacts("shop/x.py", text.encode())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import stripe\n", [(1, "Stripe")]),
        ("import os\nimport stripe.error as e\n", [(2, "Stripe")]),
        ("def f():\n    from stripe import Charge\n", [(2, "Stripe")]),
        ("from firebase_admin import auth\n", [(1, "Firebase Authentication")]),
        ("import jwt\nimport Adyen\n", [(1, "PyJWT"), (2, "Adyen")]),
        ("from jose import jwt\n", [(1, "python-jose")]),
        ("import boto3\nc = boto3.client('cognito-idp')\n", [(2, "Amazon Cognito")]),
        ("import requests\nrequests.post('https://api.stripe.com/v1/charges')\n", [(2, "Stripe")]),
        ("requests.post(f'https://api.stripe.com/v1/{kind}')\n", [(1, "Stripe")]),
        ("HOST = 'api-m.paypal.com'\n", [(1, "PayPal")]),
        ("URL = 'https://shop.eu.auth0.com:443/oauth/token'\n", [(1, "Auth0")]),
    ],
)
def test_who_is_reached_for(text: str, expected: list[tuple[int, str]]) -> None:
    assert reached(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "import stripes\nimport requests\n",
        "from . import stripe\nfrom .jwt import x\n",
        "import firebase_admin\n",
        "import boto3\nboto3.client('s3')\n",
        '"""See https://api.stripe.com/v1."""\n',
        "# import stripe\nx = 'stripe'\n",
        "requests.get('https://example.com/?next=https://api.stripe.com.evil.example/')\n",
        "requests.get('https://notapi.stripe.com.example')\n",
        "HELP = 'ask api.stripe.com why'\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from stripe import Charge\n",
        "import stripe (\n",
    ],
)
def test_who_is_not(text: str) -> None:
    assert reached(text) == []


def test_every_provider_of_the_table_can_be_told_and_says_why() -> None:
    for provider in providers():
        assert provider.kind in {"payment", "identity"}
        assert provider.why
        texts = [f"import {name}\n" for name in provider.imports]
        texts += [f"x = 'https://{host}/v1'\n" for host in provider.hosts]
        texts += [f"x = boto3.client('{service}')\n" for service in provider.services]
        assert texts
        assert all(reached(text) == [(1, provider.name)] for text in texts), provider.name


def asked(git: Git, head: dict[str, str | bytes | None], base: dict[str, str | bytes | None] | None = None) -> list[str]:
    """What a change is asked about."""
    git.commit({"interlock.toml": MAP, **(base or {})})
    git.branch("change")
    git.commit(head)
    return [str(contact) for contact in unclaimed(Change.between(git.repository, "main", "HEAD"))]


def test_a_new_module_is_asked_about_once_with_its_place_and_the_reason(git: Git) -> None:
    (line,) = asked(git, {"shop/pay.py": "import os\nimport stripe\nfrom stripe import Charge\n"})
    assert line.startswith("shop/pay.py:2 imports stripe (Stripe: payment; a charge that is repeated")


def test_a_module_that_begins_to_talk_to_one_is_asked_about(git: Git) -> None:
    base: dict[str, str | bytes | None] = {"shop/pay.py": "import jwt\n"}
    (line,) = asked(git, {"shop/pay.py": "import jwt\nimport stripe\n"}, base)
    assert line.startswith("shop/pay.py:2 imports stripe")


def test_the_first_question_is_open_until_somebody_says_whose_it_is(git: Git) -> None:
    asked(git, {"shop/pay.py": "import stripe\n"})
    answer = ask(Change.between(git.repository, "main", "HEAD"))
    assert answer.verdict is Verdict.UNKNOWN
    assert answer.evidence[-1].startswith("shop/pay.py:1 imports stripe")
    assert answer.evidence[-1].endswith("belongs to no feature: declare which, on the base branch, be it of tier 3")


@pytest.mark.parametrize(
    ("base", "head"),
    [
        pytest.param({}, {"shop/payments/pay.py": "import stripe\n"}, id="it is in a feature's paths"),
        pytest.param({}, {"shop/web.py": NOT_OURS}, id="it serves a feature's route"),
        pytest.param({}, {"tests/test_pay.py": "import stripe\n"}, id="it is test code"),
        pytest.param({"a.py": "import stripe\n"}, {"a.py": "import os\nimport stripe\n"}, id="it was there"),
        pytest.param({"a.py": "import stripe\n"}, {"a.py": "from stripe import Charge\n"}, id="it was there in other words"),
        pytest.param({"a.py": "import stripe\n"}, {"a.py": None, "b.py": "import stripe\n"}, id="it moved"),
        pytest.param({}, {"notes.md": "import stripe\n"}, id="it is no code"),
    ],
)
def test_what_is_not_asked_about(git: Git, base: dict[str, str | bytes | None], head: dict[str, str | bytes | None]) -> None:
    assert asked(git, head, base) == []


def test_a_module_that_moves_out_of_its_feature_is_asked_about(git: Git) -> None:
    base: dict[str, str | bytes | None] = {"shop/payments/pay.py": "import stripe\n"}
    (line,) = asked(git, {"shop/payments/pay.py": None, "shop/pay.py": "import stripe\n"}, base)
    assert line.startswith("shop/pay.py:1")
