"""A first interlock.toml: every line a comment until a person has decided.

What must never fail is not to be seen in source. Which files talk to a payment or identity provider is, so these are proposed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from interlock.core.errors import UsageError
from interlock.source.module import is_test_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from interlock.cli.settings import Project

_MOST: Final = 10  # Paths in one proposal.
_PROVIDERS: Final = {
    "payments": ("adyen", "Adyen", "braintree", "gocardless_pro", "mollie", "paypalrestsdk", "plaid", "square", "stripe"),
    "sign-in": ("argon2", "authlib", "bcrypt", "django.contrib.auth", "firebase_admin", "jwt", "ldap3", "oauthlib", "passlib"),
}
_TEMPLATE: Final = """\
# The settings of interlock. The gate reads them from the branch that a change goes into, so that a change cannot loosen them.
# Every line that begins with `#` is a proposal; nothing is in force before you take the mark away.

# [check]
# exclude = [{{ path = "vendor/**", reason = "not ours" }}]

# What must never fail (tier 1), and where it is. Until there is one feature, the gate's answer is always `unknown`.
{features}
# The first step of a release: how much of all users it may reach, and how long it stays there at least.
# [canary]
# first_step_max = 0.05
# first_step_min_s = 60
"""
_NONE_SEEN: Final = """\
# [[feature]]
# name = "payments"
# tier = 1
# paths = ["shop/payments/**"]
"""


def write(project: Project, sources: Mapping[str, str]) -> str:
    """Writes interlock.toml, and says so.

    Args:
        project: Where.
        sources: The project's Python files: path within it, and text.

    Raises:
        UsageError: If there are settings already.
    """
    place: Path = project.root / "interlock.toml"
    if project.document.tables or place.exists():
        message = f"{project.document.name} is there already; nothing was written"
        raise UsageError(message)
    seen = proposals(sources)
    features = "".join(_proposal(feature, paths) for feature, paths in seen.items())
    with place.open("x", encoding="utf-8") as file:
        file.write(_TEMPLATE.format(features=features or _NONE_SEEN))
    told = f", with {' and '.join(seen)} as proposals" if seen else ""
    return f"interlock.toml: written{told}; nothing is in force until you take the marks away"


def proposals(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """The files that import a provider's package, by the feature that they are likely to belong to. Tests are left out."""
    found: dict[str, list[str]] = {}
    for feature, packages in _PROVIDERS.items():
        names = "|".join(map(re.escape, packages))
        imports = re.compile(rf"^[ \t]*(?:import|from)[ \t]+(?:{names})\b", re.MULTILINE)
        paths = [path for path, text in sorted(sources.items()) if not is_test_path(path) and imports.search(text)]
        if paths:
            found[feature] = paths
    return found


def _proposal(feature: str, paths: list[str]) -> str:
    import json  # noqa: PLC0415 - a text of JSON is one of TOML.

    listed = ", ".join(json.dumps(path, ensure_ascii=False) for path in paths[:_MOST])
    more = f" ({len(paths) - _MOST} more import one)" if len(paths) > _MOST else ""
    return (
        f"# These files import a package for {feature}{more}. Is that a feature that must never fail?\n"
        f'# [[feature]]\n# name = "{feature}"\n# tier = 1\n# paths = [{listed}]\n\n'
    )
