"""`interlock gate`: a bad release stops and a good one passes, and no change loosens its own gate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from interlock.core.verdict import Verdict
from tests.documented import disagreements

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Git, Interlock, Ran

TOUCHED = "Does it touch a declared feature?"
PLANTED = "Does it plant a known hazard?"

CLEAN = "def order_id(order):\n    return order.id\n"
BAD = "import time\n\ndef new_order(user):\n    order_id = f'{user.id}-{int(time.time())}'\n    return order_id\n"


@dataclass(frozen=True, slots=True)
class Judged:
    """What the gate says, read from its JSON."""

    ran: Ran
    document: dict[str, Any]

    @property
    def verdict(self) -> Verdict:
        """The gate's verdict, which the exit code must tell as well."""
        verdict = Verdict(self.document["verdict"])
        assert self.ran.code == verdict.exit_code
        return verdict

    def answer(self, question: str) -> dict[str, Any]:
        """One question with its answer."""
        found: list[dict[str, Any]] = [asked for asked in self.document["questions"] if asked["question"] == question]
        (answer,) = found
        return answer

    @property
    def features(self) -> set[str]:
        """The names of the features that are touched."""
        answer = str(self.answer(TOUCHED)["answer"])
        if not answer.startswith("yes: "):
            return set()
        return {name.partition(" (")[0] for name in answer.removeprefix("yes: ").split(", ")}

    @property
    def reasons(self) -> list[str]:
        """Why they are touched."""
        evidence: list[str] = self.answer(TOUCHED)["evidence"]
        return evidence

    @property
    def hazards(self) -> set[str]:
        """The hazards that were planted."""
        answer = str(self.answer(PLANTED)["answer"])
        return set(answer.removeprefix("yes: ").split(", ")) if answer.startswith("yes: ") else set()


def judge(interlock: Interlock, folder: Path, base: str = "main", head: str = "HEAD", *, expect_page: bool = True) -> Judged:
    """What the gate says of a change. The page for people says the same."""
    ran = interlock("gate", "--base", base, "--head", head, "--format", "json", folder=folder)
    assert ran.out, ran.err
    judged = Judged(ran, json.loads(ran.out))
    if expect_page:
        page = interlock("gate", "--base", base, "--head", head, folder=folder)
        assert page.code == ran.code
        assert page.out.splitlines()[-1].startswith(f"verdict: {judged.verdict} (")
    return judged


# Base and head, with the verdict, the hazards that must be named and the features that are touched.
DESERVED: dict[tuple[str, str], tuple[Verdict, set[str], set[str]]] = {
    ("baseline", "opening-hours"): (Verdict.PASS, set(), set()),
    ("baseline", "one-id-for-all"): (Verdict.FAIL, {"identity/evaluated-once"}, {"sign-up"}),
    ("baseline", "incident"): (Verdict.FAIL, {"identity/coarse-clock"}, {"payments"}),
    ("incident", "published-fix"): (
        Verdict.FAIL,
        {"identity/random-per-attempt", "redis/transaction-ignored"},
        {"payments"},
    ),
    ("incident", "right-fix"): (Verdict.UNKNOWN, set(), {"payments"}),
}


class TestTheShop:
    """Each release of the example gets what it deserves."""

    @pytest.mark.parametrize(("base", "head"), DESERVED)
    def test_each_release_gets_what_it_deserves(self, interlock_in: Interlock, shop: Path, base: str, head: str) -> None:
        judged = judge(interlock_in, shop, base, head)
        verdict, hazards, features = DESERVED[base, head]
        assert (judged.verdict, judged.features) == (verdict, features)
        assert judged.hazards >= hazards
        assert bool(judged.hazards) == bool(hazards)

    def test_the_reasons_name_files_and_lines(self, interlock_in: Interlock, shop: Path) -> None:
        judged = judge(interlock_in, shop, "baseline", "one-id-for-all")
        assert "sign-up: shop/accounts/models.py is in its paths (shop/accounts/**)" in judged.reasons
        planted, *_ = judged.answer(PLANTED)["evidence"]
        assert planted.startswith("shop/accounts/models.py:22:")

    def test_the_right_fix_waits_for_evidence_and_for_nothing_else(self, interlock_in: Interlock, shop: Path) -> None:
        judged = judge(interlock_in, shop, "incident", "right-fix")
        open_ = [asked for asked in judged.document["questions"] if asked["verdict"] == "unknown"]
        assert open_
        assert all(asked["required"] and asked["prove_with"] for asked in open_)
        assert judged.answer(PLANTED)["verdict"] == "pass"

    def test_what_was_bad_before_is_not_the_next_change_s_fault(self, interlock_in: Interlock, shop: Path) -> None:
        assert judge(interlock_in, shop, "incident", "incident").hazards == set()


FEATURES = """
[[feature]]
name = "payments"
tier = {tier}
{declared}
"""

PROJECT = {
    "shop/__init__.py": "",
    "shop/payments/charge.py": "def charge(amount_minor):\n    return amount_minor\n",
    "shop/metrics.py": 'from prometheus_client import Counter\n\nCHARGED = Counter("shop_charged_total", "Payments.")\n',
    "shop/routes.py": (
        '@app.post("/checkout")\ndef checkout(request):\n    return pay(request)\n\n\n'
        'class Help:\n    @app.get("/help")\n    def help(self):\n        return "ask us"\n\n'
        "    def hours(self):\n        return 9\n"
    ),
    "shop/counting.py": (
        "from shop.metrics import CHARGED\n\n\ndef count(amount_minor):\n    CHARGED.inc(amount_minor)\n\n\n"
        "def other(amount_minor):\n    return 2\n"
    ),
}


def with_feature(git: Git, declared: str, tier: int = 1) -> None:
    """A project that declares one feature, and a branch for a change to it."""
    git.commit({**PROJECT, "interlock.toml": FEATURES.format(tier=tier, declared=declared)})
    git.branch("change")


def replaced(name: str, old: str, new: str) -> dict[str, str | bytes | None]:
    """One file of the project with something else in it."""
    assert old in PROJECT[name]
    return {name: PROJECT[name].replace(old, new)}


class TestWhatTouchesAFeature:
    def test_who_is_on_call_is_told(self, interlock_in: Interlock, git: Git) -> None:
        with_feature(git, 'paths = ["shop/payments/**"]\non_call = "the payments team"')
        git.commit({"shop/payments/new.py": "X = 1\n"})
        assert judge(interlock_in, git.root).reasons[-1] == "payments: on call: the payments team"

    @pytest.mark.parametrize(
        ("declared", "change", "reason"),
        [
            pytest.param(
                'paths = ["shop/payments/**"]',
                {"shop/payments/deep/new.py": "X = 1\n"},
                "shop/payments/deep/new.py is in its paths (shop/payments/**)",
                id="paths: a new file",
            ),
            pytest.param(
                'paths = ["shop/payments"]',
                {"shop/payments/charge.py": None},
                "shop/payments/charge.py is in its paths (shop/payments)",
                id="paths: a file that goes",
            ),
            pytest.param(
                'paths = ["**/*.sql"]',
                {"shop/migrations/1.sql": "drop"},
                "shop/migrations/1.sql is in its paths (**/*.sql)",
                id="paths: not Python",
            ),
            pytest.param(
                'paths = ["shop/payments"]\ntests = ["tests/payments/**"]',
                {"tests/payments/test_charge.py": "def test_charge(): ...\n"},
                "tests/payments/test_charge.py is one of its tests (tests/payments/**)",
                id="tests",
            ),
            pytest.param(
                'paths = ["shop/payments"]\n'
                '[[must_test]]\nid = "tests/test_x.py::test_y"\nguards = "charges"\nfeature = "payments"',
                {"tests/test_x.py": "def test_y(): ...\n"},
                "tests/test_x.py holds test_y, which must exist for it",
                id="tests: one that must exist",
            ),
            pytest.param(
                'symbols = ["shop.payments.charge.charge"]',
                replaced("shop/payments/charge.py", "return amount_minor", "return 2 * amount_minor"),
                "shop/payments/charge.py:1 changes shop.payments.charge.charge",
                id="symbols: a function",
            ),
            pytest.param(
                'symbols = ["shop.routes.Help.help"]',
                replaced("shop/routes.py", "ask us", "go away"),
                "shop/routes.py:8 changes shop.routes.Help.help",
                id="symbols: a method",
            ),
            pytest.param(
                'symbols = ["shop.routes.Help"]',
                replaced("shop/routes.py", "return 9", "return 10"),
                "shop/routes.py:11 changes shop.routes.Help",
                id="symbols: a class",
            ),
            pytest.param(
                'symbols = ["shop.counting"]',
                replaced("shop/counting.py", "return 2", "return 3"),
                "shop/counting.py:8 changes shop.counting",
                id="symbols: a module",
            ),
            pytest.param(
                'symbols = ["shop.counting.other"]',
                replaced("shop/counting.py", "\n\n\ndef other(amount_minor):\n    return 2\n", "\n"),
                "shop/counting.py:8 changes shop.counting.other",
                id="symbols: a function that goes",
            ),
            pytest.param(
                'routes = ["/checkout"]',
                replaced("shop/routes.py", "return pay(request)", "return None"),
                "shop/routes.py:2 serves /checkout",
                id="routes: what is behind one",
            ),
            pytest.param(
                'routes = ["/checkout/"]',
                replaced("shop/routes.py", '@app.post("/checkout")\n', ""),
                "shop/routes.py:2 serves /checkout/",
                id="routes: one that goes",
            ),
            pytest.param(
                'metrics = ["shop_charged_total"]',
                replaced("shop/counting.py", "CHARGED.inc(amount_minor)", "CHARGED.inc()"),
                "shop/counting.py:4 counts shop_charged_total",
                id="metrics: by the name that stands for one",
            ),
            pytest.param(
                'metrics = ["shop_charged_total"]',
                replaced("shop/metrics.py", "Payments.", "Money."),
                "shop/metrics.py:3 counts shop_charged_total",
                id="metrics: where one is declared",
            ),
        ],
    )
    def test_each_kind_alone(
        self, interlock_in: Interlock, git: Git, declared: str, change: dict[str, str | bytes | None], reason: str
    ) -> None:
        with_feature(git, declared)
        git.commit(change)
        judged = judge(interlock_in, git.root)
        assert judged.features == {"payments"}
        assert judged.reasons == [f"payments: {reason}"]
        assert judged.verdict is Verdict.UNKNOWN

    @pytest.mark.parametrize(
        "declared",
        [
            'paths = ["shop/payments/**"]',
            'symbols = ["shop.payments.charge"]',
            'symbols = ["shop.routes.Help.help"]',
            'symbols = ["shop.count"]',
            'routes = ["/checkout"]',
            'routes = ["/help"]',
            'routes = ["/"]',
            'metrics = ["shop_charged_total"]',
            'metrics = ["shop_charged"]',
        ],
    )
    def test_code_beside_it_does_not(self, interlock_in: Interlock, git: Git, declared: str) -> None:
        with_feature(git, declared)
        changed = {
            **replaced("shop/routes.py", "return 9", "return 10"),
            **replaced("shop/counting.py", "return 2", "return 3"),
            "docs/new.md": "shop_charged_total, /checkout\n",
        }
        git.commit(changed)
        judged = judge(interlock_in, git.root)
        assert judged.features == set()
        assert judged.verdict is Verdict.PASS

    def test_a_map_that_names_what_is_not_there_is_in_doubt(self, interlock_in: Interlock, git: Git) -> None:
        with_feature(git, 'paths = ["shop/paymnets/**"]\nsymbols = ["no.such.symbol"]')
        git.commit({"docs/new.md": "x"})
        judged = judge(interlock_in, git.root)
        assert judged.verdict is Verdict.UNKNOWN
        assert "payments: no file of the base is in its paths (shop/paymnets/**)" in judged.ran.out
        assert "payments: no module of the base holds its symbol no.such.symbol" in judged.ran.out

    def test_a_test_that_names_a_route_does_not(self, interlock_in: Interlock, git: Git) -> None:
        with_feature(git, 'routes = ["/checkout"]')
        git.commit({"tests/test_routes.py": 'def test_checkout(client):\n    assert client.post("/checkout").ok\n'})
        assert judge(interlock_in, git.root).features == set()

    @pytest.mark.parametrize(("tier", "verdict"), [(1, Verdict.UNKNOWN), (2, Verdict.PASS), (3, Verdict.PASS)])
    def test_open_questions_close_the_gate_for_tier_1_alone(
        self, interlock_in: Interlock, git: Git, tier: int, verdict: Verdict
    ) -> None:
        with_feature(git, 'paths = ["shop/payments/**"]', tier)
        git.commit({"shop/payments/charge.py": "def charge():\n    return 1\n"})
        judged = judge(interlock_in, git.root)
        assert judged.features == {"payments"}
        assert judged.verdict is verdict

    def test_a_hazard_closes_it_in_every_tier_and_in_none(self, interlock_in: Interlock, git: Git) -> None:
        with_feature(git, 'paths = ["shop/payments/**"]', tier=3)
        git.commit({"elsewhere.py": BAD})
        judged = judge(interlock_in, git.root)
        assert judged.verdict is Verdict.FAIL
        assert judged.hazards == {"identity/coarse-clock"}


class TestAChangeCannotLoosenItsOwnGate:
    def test_to_delete_the_feature_does_not_help(self, interlock_in: Interlock, git: Git) -> None:
        with_feature(git, 'paths = ["shop/payments/**"]')
        git.commit({"interlock.toml": "", "shop/payments/charge.py": ""})
        assert judge(interlock_in, git.root).verdict is Verdict.UNKNOWN

    def test_to_lower_its_tier_does_not_help(self, interlock_in: Interlock, git: Git) -> None:
        with_feature(git, 'paths = ["shop/payments/**"]')
        git.commit(
            {"interlock.toml": FEATURES.format(tier=3, declared='paths = ["shop/payments/**"]'), "shop/payments/charge.py": ""}
        )
        assert judge(interlock_in, git.root).verdict is Verdict.UNKNOWN

    def test_to_exclude_the_file_does_not_help(self, interlock_in: Interlock, git: Git) -> None:
        with_feature(git, 'paths = ["shop/payments/**"]')
        git.commit({"interlock.toml": '[check]\nexclude = [{ path = "bad.py", reason = "trust me" }]\n', "bad.py": BAD})
        assert judge(interlock_in, git.root).verdict is Verdict.FAIL

    def test_to_break_the_settings_does_not_help(self, interlock_in: Interlock, git: Git) -> None:
        with_feature(git, 'paths = ["shop/payments/**"]')
        git.commit({"interlock.toml": "[nonsense", "shop/payments/charge.py": ""})
        assert judge(interlock_in, git.root).verdict is Verdict.UNKNOWN

    def test_to_put_the_settings_elsewhere_does_not_help(self, interlock_in: Interlock, git: Git) -> None:
        with_feature(git, 'paths = ["shop/payments/**"]')
        git.commit({"interlock.toml": None, "pyproject.toml": "[tool.interlock]\nfeature = []\n", "bad.py": BAD})
        assert judge(interlock_in, git.root).verdict is Verdict.FAIL

    def test_what_lies_in_the_work_tree_does_not_count(self, interlock_in: Interlock, git: Git) -> None:
        with_feature(git, 'paths = ["shop/payments/**"]')
        git.commit({"bad.py": BAD})
        git.write({"interlock.toml": "", "bad.py": CLEAN})
        assert judge(interlock_in, git.root).verdict is Verdict.FAIL

    def test_to_accept_its_own_hazard_leaves_the_question_open(self, interlock_in: Interlock, git: Git) -> None:
        line = "    order_id = f'{user.id}-{int(time.time())}'"
        accepted = BAD.replace(line, f"{line}  # interlock: ignore[identity/coarse-clock]: trust me")
        with_feature(git, 'paths = ["shop/payments/**"]')
        git.commit({"bad.py": accepted})
        judged = judge(interlock_in, git.root)
        assert judged.verdict is Verdict.UNKNOWN
        assert "bad.py:4" in judged.answer(PLANTED)["evidence"][0]

    def test_what_the_base_has_accepted_stays_accepted(self, interlock_in: Interlock, git: Git) -> None:
        line = "    order_id = f'{user.id}-{int(time.time())}'"
        accepted = BAD.replace(line, f"{line}  # interlock: ignore[identity/coarse-clock]: one user, one order a day")
        git.commit(
            {"interlock.toml": FEATURES.format(tier=1, declared='paths = ["docs/**"]'), "docs/x": "", "bad.py": accepted}
        )
        git.branch("change")
        git.commit({"bad.py": f"# A long story.\n{accepted}"})
        assert judge(interlock_in, git.root).verdict is Verdict.PASS

    def test_the_base_s_exclusions_hold(self, interlock_in: Interlock, git: Git) -> None:
        settings = '[check]\nexclude = [{ path = "vendor/*", reason = "not ours" }]\n'
        git.commit({"interlock.toml": settings + FEATURES.format(tier=1, declared='paths = ["docs/**"]'), "docs/x": ""})
        git.branch("change")
        git.commit({"vendor/bad.py": BAD})
        judged = judge(interlock_in, git.root)
        assert judged.verdict is Verdict.PASS
        assert str(judged.answer(PLANTED)["answer"]).endswith("; the base leaves 1 out")

    @pytest.mark.parametrize("settings", ["", "no toml [", '[check]\nexclude = [{ path = "**", reason = "trust me" }]\n'])
    def test_a_change_of_the_settings_needs_a_person(self, interlock_in: Interlock, git: Git, settings: str) -> None:
        with_feature(git, 'paths = ["shop/payments/**"]')
        git.commit({"interlock.toml": settings})
        judged = judge(interlock_in, git.root)
        assert judged.verdict is Verdict.UNKNOWN
        assert "the change alters the settings" in judged.ran.out

    def test_attributes_do_not_hide_a_line(self, interlock_in: Interlock, git: Git) -> None:
        with_feature(git, 'symbols = ["shop.payments.charge.charge"]')
        git.commit({".gitattributes": "*.py -diff\n", **replaced("shop/payments/charge.py", "return", "return not")})
        assert judge(interlock_in, git.root).features == {"payments"}

    @pytest.mark.parametrize(
        "text",
        [BAD.replace("import time", "import t\uff49me"), f"# coding: utf-7\n{BAD.replace('import time', 'import t+AGk-me')}"],
    )
    def test_spelling_does_not_hide_a_hazard(self, interlock_in: Interlock, git: Git, text: str) -> None:
        with_feature(git, 'paths = ["shop/payments/**"]')
        git.commit({"shop/orders.py": text})
        assert judge(interlock_in, git.root).verdict is Verdict.FAIL

    @pytest.mark.parametrize(
        "head",
        [
            pytest.param({"shop/orders.py": f"import pytest\n{BAD}"}, id="code that now imports pytest"),
            pytest.param({"shop/payments/new.py": f"import pytest\n{BAD}"}, id="a feature's"),
            pytest.param(
                {"shop/test/orders.py": BAD, "shop/web.py": "from shop.test.orders import new_order\n"}, id="a folder"
            ),
            pytest.param({"shop/test_orders.py": BAD, "shop/web.py": "from . import test_orders\n"}, id="a name"),
            pytest.param(
                {
                    "shop/tests.py": BAD,
                    "shop/test_a.py": "import shop.tests\n",
                    "shop/web.py": "from .test_a import new_order\n",
                },
                id="by way of another one",
            ),
        ],
    )
    def test_to_pass_code_off_as_tests_does_not_help(
        self, interlock_in: Interlock, git: Git, head: dict[str, str | bytes | None]
    ) -> None:
        git.commit({"shop/orders.py": CLEAN})
        with_feature(git, 'paths = ["shop/payments/**"]')
        git.commit(head)
        assert judge(interlock_in, git.root).verdict is Verdict.FAIL

    @pytest.mark.parametrize("name", ["shop/payments/tests/test_orders.py", "helpers.py"])
    def test_test_code_may_do_what_it_likes(self, interlock_in: Interlock, git: Git, name: str) -> None:
        git.commit({"shop/orders.py": CLEAN})
        with_feature(git, 'paths = ["shop/payments/**"]')
        git.commit({name: f"import pytest\n{BAD}", "tests/test_web.py": "import helpers\n"})
        assert judge(interlock_in, git.root).answer(PLANTED)["verdict"] == "pass"

    def test_a_hazard_that_was_accepted_is_news_elsewhere(self, interlock_in: Interlock, git: Git) -> None:
        line = next(line for line in BAD.splitlines() if "time.time()" in line)
        reason = "  # interlock: ignore[identity/coarse-clock]: a script that ran once"
        git.commit({"oneoff.py": BAD.replace(line, line + reason)})
        with_feature(git, 'paths = ["shop/payments/**"]')
        git.commit({"oneoff.py": None, "shop/orders.py": BAD})
        assert judge(interlock_in, git.root).verdict is Verdict.FAIL

    def test_a_feature_that_the_base_declared_meanwhile_is_in_force(self, interlock_in: Interlock, git: Git) -> None:
        git.commit(PROJECT)
        git.branch("change")
        git.commit({"shop/payments/charge.py": ""})
        git("checkout", "--quiet", "main")
        git.commit({"interlock.toml": FEATURES.format(tier=1, declared='paths = ["shop/payments/**"]')})
        assert judge(interlock_in, git.root, "main", "change").features == {"payments"}

    def test_odd_file_names_are_read_all_the_same(self, interlock_in: Interlock, git: Git) -> None:
        """A name that git quotes, or that we cannot ask for by line, is no way around the gate."""
        with_feature(git, 'paths = ["shop/payments/**"]')
        git.commit({"new\nline.py": BAD})
        assert judge(interlock_in, git.root).verdict is Verdict.FAIL


class TestWhatIsNotKnown:
    @pytest.mark.parametrize(
        ("there", "added", "clash"),
        [
            ("shop/payments/charge.py", "Shop/payments/charge.py", "Shop beside shop"),
            ("shop/payments/charge.py", "shop/Payments/new.py", "shop/Payments beside shop/payments"),
            ("shop/payments/charge.py", "shop/payments/Charge.py", "shop/payments/Charge.py beside shop/payments/charge.py"),
            ("shop/caf\u00e9.txt", "shop/cafe\u0301.txt", "beside"),
            ("shop/payments/charge.py", "shop/payments/charges.py", ""),
        ],
    )
    def test_a_name_that_is_another_only_where_case_is_told_apart(
        self, interlock_in: Interlock, git: Git, there: str, added: str, clash: str
    ) -> None:
        """There it is the other file, whose feature nobody would be asked about here."""
        git.commit({there: CLEAN, "Docs/a.md": "", "docs/b.md": ""})
        with_feature(git, 'paths = ["shop/**"]', tier=3)
        git.commit({added: CLEAN, "Docs/c.md": ""})  # Docs was there before, and is the base's own affair.
        found = judge(interlock_in, git.root).answer(TOUCHED)
        lines = [line for line in found["evidence"] if line.startswith("the change adds ")]
        assert found["verdict"] == ("unknown" if clash else "pass")
        assert bool(lines) == bool(clash)
        assert clash in lines[0] if clash else not lines

    def test_no_feature_is_declared(self, interlock_in: Interlock, git: Git) -> None:
        git.commit(PROJECT)
        git.branch("change")
        git.commit({"shop/payments/charge.py": ""})
        judged = judge(interlock_in, git.root)
        assert judged.verdict is Verdict.UNKNOWN
        assert judged.answer(TOUCHED)["verdict"] == "unknown"

    @pytest.mark.parametrize("content", [b"def f(:\n", b"\0", b"\xff", b"(" * 100_000, b"# coding: rot13\n"])
    def test_a_changed_file_cannot_be_read(self, interlock_in: Interlock, git: Git, content: bytes) -> None:
        with_feature(git, 'symbols = ["shop.payments.charge.charge"]\nmetrics = ["shop_charged_total"]', tier=2)
        git.commit({"elsewhere.py": content})
        judged = judge(interlock_in, git.root)
        assert judged.verdict is Verdict.UNKNOWN
        (evidence,) = judged.answer(PLANTED)["evidence"]
        assert evidence.startswith("elsewhere.py:")

    def test_a_file_that_goes_is_nothing_to_read(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({"docs/gone.py": BAD})
        with_feature(git, 'paths = ["shop/payments/**"]')
        git.commit({"docs/gone.py": None})
        assert judge(interlock_in, git.root).verdict is Verdict.PASS

    def test_a_link_that_looks_like_a_module_is_unknown(self, interlock_in: Interlock, git: Git) -> None:
        with_feature(git, 'paths = ["shop/payments/**"]')
        (git.root / "link.py").symlink_to("../outside.txt")
        git.commit()
        judged = judge(interlock_in, git.root)
        assert judged.verdict is Verdict.UNKNOWN
        assert "link.py: is a symbolic link" in judged.ran.out

    @pytest.mark.parametrize("name", ["shop/payments/charge.pyc", "shop/fast.cpython-311-x86_64-linux-gnu.so"])
    def test_a_compiled_module_is_unknown(self, interlock_in: Interlock, git: Git, name: str) -> None:
        with_feature(git, 'paths = ["docs/**"]\nsymbols = ["shop.payments"]', tier=3)
        git.commit({"docs/x": "", name: b"\0\1"})
        judged = judge(interlock_in, git.root)
        assert judged.answer(PLANTED)["verdict"] == "unknown"
        assert f"{name}: is compiled" in judged.ran.out

    def test_a_program_without_an_ending_is_read(self, interlock_in: Interlock, git: Git) -> None:
        with_feature(git, 'paths = ["shop/payments/**"]')
        git.commit({"bin/worker": f"#!/usr/bin/env python3\n{BAD}", "OLD.PY": BAD})
        assert judge(interlock_in, git.root).verdict is Verdict.FAIL

    def test_a_change_of_nothing_is_nothing_to_judge(self, interlock_in: Interlock, git: Git) -> None:
        with_feature(git, 'paths = ["shop/payments/**"]')
        assert judge(interlock_in, git.root).verdict is Verdict.UNKNOWN


def test_json_is_as_documented(interlock_in: Interlock, git: Git) -> None:
    with_feature(git, 'paths = ["shop/payments/**"]')
    git.commit({"shop/payments/charge.py": BAD})
    document = judge(interlock_in, git.root).document
    assert disagreements("interlock gate", document) == []
    assert document["version"] == 1
    assert document["verdict"] == "fail"
    assert len(document["questions"]) >= 8
    for asked in document["questions"]:
        assert asked["verdict"] in {"pass", "fail", "unknown"}
        assert asked["question"].endswith("?")
        assert all(isinstance(line, str) for line in asked["evidence"])


def test_questions_come_in_the_order_in_which_they_are_asked(interlock_in: Interlock, git: Git) -> None:
    with_feature(git, 'paths = ["shop/payments/**"]')
    questions = [asked["question"] for asked in judge(interlock_in, git.root).document["questions"]]
    assert questions[:2] == [TOUCHED, PLANTED]


@pytest.mark.parametrize(("base", "head"), [("no-such-branch", "HEAD"), ("main", "no-such-branch")])
def test_a_ref_that_is_not_there_is_a_mistake(interlock_in: Interlock, git: Git, base: str, head: str) -> None:
    git.commit({"a.py": CLEAN})
    ran = interlock_in("gate", "--base", base, "--head", head, folder=git.root)
    assert (ran.code, ran.out) == (2, "")
    assert "'no-such-branch' names no commit" in ran.err


@pytest.mark.parametrize(("ref", "hint"), [("mian", "did you mean 'main'?"), ("release", "expected one of change, main")])
def test_a_slip_in_a_ref_is_told_with_what_there_is(interlock_in: Interlock, git: Git, ref: str, hint: str) -> None:
    git.commit({"a.py": CLEAN})
    git.branch("change")
    assert hint in interlock_in("gate", "--base", ref, folder=git.root).err


def test_before_the_first_commit_there_is_nothing_to_compare(interlock_in: Interlock, git: Git) -> None:
    ran = interlock_in("gate", "--base", "main", folder=git.root)
    assert (ran.code, ran.out) == (2, "")
    assert "nothing is committed yet" in ran.err


def test_whoever_begins_is_told_how(interlock_in: Interlock, git: Git) -> None:
    git.commit({"a.py": CLEAN})
    git.branch("change")
    git.commit({"a.py": f"{CLEAN}X = 1\n"})
    assert "there are no settings yet: interlock init writes first ones" in judge(interlock_in, git.root).ran.out
    git.commit({"interlock.toml": '[[feature]]\nname = "payments"\ntier = 1\npaths = ["a.py"]\n'})
    judged = judge(interlock_in, git.root)
    assert judged.verdict is Verdict.UNKNOWN
    assert "the settings that the change brings are in force once they are on the base branch" in judged.ran.out


def test_outside_a_repository_it_is_a_mistake(interlock_in: Interlock) -> None:
    ran = interlock_in("gate", "--base", "main")
    assert (ran.code, ran.out) == (2, "")
    assert "gate needs a git repository" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ["gate", "--base", "main"],
        ["check", "--base", "main"],
        ["audit", "--last", "1"],
        ["waive", "touched", "--base", "main", "--owner", "bo", "--reason", "why", "--until", "2026-12-01"],
        ["init"],
        ["init", "claude"],
    ],
)
@pytest.mark.parametrize("inside", ["bare", "repository/.git"])
def test_where_git_has_no_files_it_says_so(interlock_in: Interlock, git: Git, words: list[str], inside: str) -> None:
    git("init", "--quiet", "--bare", str(git.root.parent / "bare"))
    folder = git.root.parent / inside
    before = sorted(folder.rglob("*"))
    ran = interlock_in(*words, folder=folder)

    assert (ran.code, ran.out) == (2, "")
    assert "is a bare repository, or inside of `.git`; clone it, and go there" in ran.err
    assert sorted(folder.rglob("*")) == before


def test_without_git_nothing_is_known(interlock_in: Interlock, git: Git) -> None:
    git.commit({"a.py": CLEAN})
    ran = interlock_in.under(PATH="/nowhere")("gate", "--base", "main", folder=git.root)
    assert (ran.code, ran.out) == (3, "")
    assert "git is not installed, and gate needs it" in ran.err


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ('[feature]\nname = "payments"\ntier = 1\n', "expected [[feature]]"),
        ('[[feature]]\nname = "payments"\ntier = 4\n', "expected 1, 2 or 3"),
        ('[[feature]]\nname = "payments"\n', "feature has no 'tier', which it needs"),
        ('[[feature]]\nname = "payments"\ntier = 1\npath = ["shop/**"]\n', "did you mean 'paths'?"),
        ('[[feature]]\nname = "payments"\ntier = 1\npaths = "shop/**"\n', "expected a list of texts"),
        ('[[feature]]\nname = "payments"\ntier = true\n', "expected a whole number"),
    ],
)
def test_a_feature_that_is_not_declared_right_is_a_mistake(
    interlock_in: Interlock, git: Git, settings: str, complaint: str
) -> None:
    git.commit({"interlock.toml": settings})
    ran = interlock_in("gate", "--base", "main", folder=git.root)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err
    assert "interlock.toml" in ran.err
