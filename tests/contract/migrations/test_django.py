"""Migrations of Django's, on a real Postgres, and the tests of the release before in Django's own runner."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from interlock.core.verdict import Verdict
from interlock.gate.change import Change
from interlock.gate.migrations import trial
from interlock.gate.migrations.declared import Migrations

if TYPE_CHECKING:
    from interlock.gate.migrations.server import Server
    from interlock.gate.migrations.trial import Trial
    from tests.conftest import Git

SETTINGS = """
import os

os.environ["DATABASE_URL"]  # Is there before Django is.
SECRET_KEY = "none"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("DB_NAME", "production"),
        "HOST": os.environ.get("DB_HOST", "db.shop.example"),
        "USER": os.environ.get("DB_USER", "root"),
    }
}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "shop"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
"""
MODELS = """
from django.db import models

class Customer(models.Model):
    name = models.CharField(max_length=40, unique=True)
    user = models.ForeignKey("auth.User", null=True, on_delete=models.CASCADE)
"""
TESTS = """
from django.test import TestCase
from shop.models import Customer

class Smoke(TestCase):
    def test_a_customer_is_kept(self):
        Customer.objects.create(name="Ada")
        self.assertTrue(Customer.objects.filter(name="Ada").exists())
"""


MIGRATION = """
from django.db import migrations, models

def folded(apps, editor):
    for one in apps.get_model("shop", "Customer").objects.all():
        one.name = one.name.lower()
        one.save()

class Migration(migrations.Migration):
    dependencies = {depends}
    operations = [{operations}]
"""


def migration(number: int, operations: str) -> tuple[str, str]:
    """The file of a migration, after the one before it."""
    depends = [("shop", f"{number - 1:04}_m")] if number > 1 else [("auth", "0012_alter_user_first_name_max_length")]
    return f"shop/migrations/{number:04}_m.py", MIGRATION.format(depends=depends, operations=operations)


FIRST = (
    "migrations.CreateModel('Customer', [('id', models.BigAutoField(primary_key=True)), "
    "('name', models.CharField(max_length=40, unique=True)), "
    "('user', models.ForeignKey('auth.User', null=True, on_delete=models.CASCADE))])"
)
NICK = "migrations.AddField('Customer', 'nick', models.CharField(max_length=9, {how}))"
BEGUN = {
    "conf/__init__.py": "",
    "conf/settings.py": SETTINGS,
    "shop/__init__.py": "",
    "shop/models.py": MODELS,
    "shop/tests.py": TESTS,
    "shop/migrations/__init__.py": "",
    **dict([migration(1, FIRST)]),
}


def tried(git: Git, added: list[str], *, tests: str = "") -> Trial:
    """The trial of a change that adds some migrations."""
    variables = '["DB_NAME={database}", "DB_HOST={host}", "DB_USER={user}"]'
    declared = f'[migrations]\ndjango = "conf.settings"\npython = "{sys.executable}"\nenvironment = {variables}\n{tests}'
    git.commit({"interlock.toml": declared, **BEGUN})
    git("checkout", "--quiet", "-b", "change")
    git.commit(dict(migration(number, operations) for number, operations in enumerate(added, start=2)))
    change = Change.between(git.repository, "main", "HEAD")
    settings = Migrations.of(change.settings)
    assert settings is not None
    return trial.tried(change, settings, lambda _: None)


@pytest.fixture(autouse=True)
def _one_server(running: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "server", lambda: nullcontext(running))


def test_what_the_way_back_loses_is_told(git: Git) -> None:
    found = tried(
        git,
        [
            NICK.format(how="null=True"),
            "migrations.RunPython(folded, migrations.RunPython.noop)",
            "migrations.RunPython(folded)",
            "migrations.RemoveField('Customer', 'user')",
        ],
    )

    assert [trip.flaws for trip in found.trips] == [
        (),
        ("downgrade of shop.0003_m loses column shop_customer.name: 3 rows",),
        (
            (
                "shop.0004_m has no way back: IrreversibleError: Operation <RunPython <function folded>> "
                "in shop.0004_m is not reversible (shop/migrations/0004_m.py)"
            ),
        ),
        ("downgrade of shop.0005_m loses column shop_customer.user_id: 3 rows",),
    ]


DJANGO_TESTS = """tests = ["python", "-m", "django", "test", "--keepdb", "--settings=conf.settings"]"""


def test_a_column_that_the_release_before_does_not_fill_is_found(git: Git) -> None:
    bad = tried(git, [NICK.format(how="default='x'")], tests=DJANGO_TESTS)

    assert any('null value in column "nick"' in line for line in bad.previous.output)
    assert bad.round_trip is Verdict.PASS
    assert bad.previous.verdict is Verdict.FAIL, bad.previous


def test_tests_in_a_database_of_their_own_prove_nothing(git: Git) -> None:
    found = tried(git, [NICK.format(how="default='x'")], tests=DJANGO_TESTS.replace("--keepdb", "--noinput"))

    assert found.previous.verdict is Verdict.UNKNOWN
    assert "(for Django: --keepdb or --reuse-db)" in found.previous.told
