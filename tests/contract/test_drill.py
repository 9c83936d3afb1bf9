"""Drills on Prometheus's and Alertmanager's own tools: what fires on an incident, when, and whom it wakes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.documented import disagreements
from tests.gate import answer_to
from tests.machine import needed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Git, Interlock

ROUTES = """
route:
  receiver: nobody
  group_wait: 10s
  routes:
    - matchers: [severity="page"]
      receiver: pagerduty-shop
    - matchers: [severity="ticket"]
      receiver: tickets
      group_wait: 5m
receivers: [{name: nobody}, {name: pagerduty-shop, pagerduty_configs: [{service_key: none}]}, {name: tickets}]
"""
FAILED = 'http_requests_total{job="shop",code="500"}'
FINE = 'http_requests_total{job="shop",code="200"}'
DOUBLE = 'payment_double_charge_total{job="shop"}'
SIGN_UPS = 'shop_sign_ups_total{job="shop"}'
ERROR_RATE = 'sum(rate(http_requests_total{code=~"5.."}[5m])) / sum(rate(http_requests_total[5m])) > 0.05'


@pytest.fixture(autouse=True)
def _tools() -> None:
    needed("promtool", "amtool")


def alert(name: str, expression: str, *, lasting: str = "0m", severity: str = "page") -> dict[str, Any]:
    return {"alert": name, "expr": expression, "for": lasting, "labels": {"severity": severity}}


def settings(*series: tuple[str, str], drill: str = 'incident = "payment-retry-queue"', alerts: str = "") -> str:
    shown = ", ".join(f"{{ series = '{name}', of = '{of}' }}" for name, of in series)
    return f"""
[alerts]
rules = ["rules/*.yml"]
alertmanager = "alertmanager.yml"
pagers = ["pagerduty-*"]
{alerts}
[[feature]]
name = "payments"
tier = 1
paths = ["shop/**"]

[[drill]]
feature = "payments"
{drill}
series = [{shown}]
"""


def project(folder: Path, text: str, *alerts: dict[str, Any], routes: str = ROUTES) -> Path:
    (folder / "rules").mkdir()
    (folder / "rules" / "shop.yml").write_text(json.dumps({"groups": [{"name": "shop", "rules": list(alerts)}]}))
    (folder / "alertmanager.yml").write_text(routes)
    (folder / "interlock.toml").write_text(text)
    return folder


def drilled(interlock_in: Interlock, folder: Path, *arguments: str) -> dict[str, Any]:
    """The only drill's result; the exit code says the same."""
    ran = interlock_in("drill", "--format", "json", *arguments, folder=folder)
    assert ran.out, ran.err
    assert disagreements("interlock drill", json.loads(ran.out)) == []
    (told,) = json.loads(ran.out)["drills"]
    assert ran.code == {"pass": 0, "fail": 1, "unknown": 3}[told["verdict"]]
    return dict(told)


@pytest.mark.parametrize(
    ("pagers", "verdict", "answer"),
    [
        ('["pagerduty-shop"]', "pass", "Errors wakes somebody after"),
        (
            '["pagerduty-payments"]',
            "fail",
            "it fires and wakes pagerduty-shop, and not who is on call for it (pagerduty-payments)",
        ),
        ("[]", "pass", "Errors wakes somebody after"),
    ],
)
def test_who_is_woken_must_be_on_call_for_the_feature(
    interlock_in: Interlock, tmp_path: Path, pagers: str, verdict: str, answer: str
) -> None:
    text = settings((FAILED, "bad"), (FINE, "good")).replace('paths = ["shop/**"]', f'paths = ["shop/**"]\npagers = {pagers}')
    told = drilled(interlock_in, project(tmp_path, text, alert("Errors", ERROR_RATE)))
    assert told["verdict"] == verdict
    assert told["answer"].startswith(answer)


def test_an_alert_on_the_error_rate_wakes_somebody_minutes_after_the_incident_began(
    interlock_in: Interlock, tmp_path: Path
) -> None:
    text = settings((FAILED, "bad"), (FINE, "good"))
    told = drilled(interlock_in, project(tmp_path, text, alert("HighErrorRate", ERROR_RATE, lasting="5m")))

    (fired,) = told["fired"]
    assert told["verdict"] == "pass"
    assert 300 <= fired["after_s"] <= 420
    assert fired["pages_after_s"] == fired["after_s"] + 10
    assert fired["receivers"] == ["pagerduty-shop"]


def test_one_that_waits_too_long_fails(interlock_in: Interlock, tmp_path: Path) -> None:
    text = settings((FAILED, "bad"), (FINE, "good"), drill='incident = "payment-retry-queue"\nwithin_s = 120')
    told = drilled(interlock_in, project(tmp_path, text, alert("HighErrorRate", ERROR_RATE, lasting="5m")))

    assert told["verdict"] == "fail"
    assert "later than the 2 min that are allowed" in told["answer"]


def test_one_that_goes_to_a_ticket_wakes_nobody(interlock_in: Interlock, tmp_path: Path) -> None:
    text = settings((FAILED, "bad"), (FINE, "good"))
    told = drilled(interlock_in, project(tmp_path, text, alert("HighErrorRate", ERROR_RATE, severity="ticket")))

    assert (told["verdict"], told["answer"]) == ("fail", "it fires and wakes nobody: it goes to tickets")


def test_increase_does_not_see_a_counter_that_is_born_at_one(interlock_in: Interlock, tmp_path: Path) -> None:
    """The popular rule for double charges: the series appears with its first event, and does not increase after it."""
    (tmp_path / "one.toml").write_text(
        "story = 'one double charge'\nper_s = 420.0\nharm_per_s = 0.06666666666666668\n"
        "course = [{ at_s = 0, success = 0.98 }, { at_s = 15, success = 0.979 }, { at_s = 30, success = 0.98 },"
        " { at_s = 1800, success = 0.98 }]\n"
    )
    text = settings((DOUBLE, "harm"), drill='incident = "one.toml"')
    told = drilled(
        interlock_in, project(tmp_path, text, alert("DoubleCharge", "increase(payment_double_charge_total[10m]) > 0"))
    )

    assert (told["verdict"], told["answer"]) == ("fail", "none of 1 alert fires")


def test_an_alert_that_rings_already_says_nothing(interlock_in: Interlock, tmp_path: Path) -> None:
    text = settings((FAILED, "bad"), (FINE, "good"))
    told = drilled(interlock_in, project(tmp_path, text, alert("Always", "vector(1)")))

    assert (told["verdict"], told["fired"]) == ("fail", [])


def test_one_whose_labels_are_others_each_time_rings_already_as_well(interlock_in: Interlock, tmp_path: Path) -> None:
    text = settings((FAILED, "bad"), (FINE, "good"))
    always = alert("Always", "vector(time())")
    always["labels"]["value"] = "{{ $value }}"

    assert drilled(interlock_in, project(tmp_path, text, always))["fired"] == []


@pytest.mark.parametrize(
    ("routes", "verdict", "told"),
    [
        pytest.param(
            ROUTES.replace(", pagerduty_configs: [{service_key: none}]", ", pagerduty_configs: []"),
            "fail",
            "it fires and wakes nobody: it goes to pagerduty-shop, which has no integration",
            id="a receiver that tells nobody",
        ),
        pytest.param(
            f"{ROUTES}inhibit_rules:\n  - source_match: {{alertname: Watchdog}}\n    target_matchers: ['severity=~page|sms']\n",
            "fail",
            "it fires and wakes nobody: HighErrorRate is held back by an inhibit rule",
            id="held back by what always rings",
        ),
        pytest.param(
            f"{ROUTES}inhibit_rules: [{{source_matchers: [alertname=Watchdog], equal: [severity]}}]",
            "pass",
            "HighErrorRate wakes somebody after",
            id="not held back by what has other labels",
        ),
        pytest.param(
            f"{ROUTES}inhibit_rules: [{{source_matchers: ['severity=\"page\"'], target_matchers: ['severity=\"page\"']}}]",
            "pass",
            "HighErrorRate wakes somebody after",
            id="not held back by itself",
        ),
        pytest.param(
            f'{ROUTES}inhibit_rules: [{{source_matchers: [\'"new.name"="x"\']}}]',
            "unknown",
            "of an inhibit rule cannot be read",
            id="a rule that cannot be read",
        ),
        *(
            pytest.param(
                f"{ROUTES.replace('receiver: pagerduty-shop', f'receiver: pagerduty-shop{chr(10)}      {key}: [nights]')}"
                "time_intervals: [{name: nights, time_intervals: [{times: [{start_time: '20:00', end_time: '24:00'}]}]}]\n",
                "unknown",
                "unless the route to it is muted then",
                id=key,
            )
            for key in ("mute_time_intervals", "active_time_intervals")
        ),
    ],
)
def test_what_alertmanager_holds_back_wakes_nobody(
    interlock_in: Interlock, git: Git, routes: str, verdict: str, told: str
) -> None:
    text = settings((FAILED, "bad"), (FINE, "good"))
    watchdog = alert("Watchdog", "vector(1)", severity="none")
    project(git.root, text, alert("HighErrorRate", ERROR_RATE), watchdog, routes=routes)
    git.commit({"shop/pay.py": ""})
    git.branch("change")
    git.commit({"shop/pay.py": "X = 1\n"})

    found = answer_to("alerts", interlock_in, git)
    assert (found["verdict"], told in found["answer"]) == (verdict, True), found


@pytest.mark.parametrize(
    ("groups", "verdict"),
    [
        ([("6h", {"record": "errors", "expr": "1"}), ("15s", alert("HighErrorRate", ERROR_RATE))], "pass"),
        ([("6h", alert("HighErrorRate", ERROR_RATE))], "fail"),
        ([("6h", {"record": "errors", "expr": ERROR_RATE[:-7]}), ("15s", alert("HighErrorRate", "errors > 0.05"))], "fail"),
        ([("4m", alert("HighErrorRate", ERROR_RATE))], "pass"),
        ([("4m", alert("HighErrorRate", ERROR_RATE, lasting="2m"))], "fail"),
    ],
)
def test_a_group_that_is_seldom_evaluated_is_late(
    interlock_in: Interlock, tmp_path: Path, groups: list[tuple[str, dict[str, Any]]], verdict: str
) -> None:
    """Promtool evaluates all groups as often as it is asked to, whatever they say."""
    folder = project(tmp_path, settings((FAILED, "bad"), (FINE, "good")))
    rules = [{"name": f"g{number}", "interval": every, "rules": [rule]} for number, (every, rule) in enumerate(groups)]
    (folder / "rules" / "shop.yml").write_text(json.dumps({"groups": rules}))

    assert drilled(interlock_in, folder)["verdict"] == verdict


def test_sign_ups_that_stop_are_not_seen_by_an_error_rate_and_the_missing_rule_is_written(
    interlock_in: Interlock, tmp_path: Path
) -> None:
    text = settings((SIGN_UPS, "good"), drill='incident = "sign-ups-stop"\nwithin_s = 3600')
    folder = project(tmp_path, text, alert("HighErrorRate", ERROR_RATE))
    assert drilled(interlock_in, folder)["answer"] == "none of 1 alert fires"

    written = interlock_in("drill", "--write-rule", "--quiet", folder=folder).out.partition("groups:")
    (folder / "rules" / "written.yml").write_text(f"{written[1]}{written[2]}")

    assert drilled(interlock_in, folder)["verdict"] == "pass"


def test_a_drop_that_is_declared_is_drilled_as_well(interlock_in: Interlock, tmp_path: Path) -> None:
    rule = alert("FewOrders", "sum(rate(shop_orders_total[5m])) < 0.9 * sum(rate(shop_orders_total[5m] offset 1d))")
    text = settings(("shop_orders_total", "good"), drill="falls_to = 0.8\nper_s = 100")

    assert drilled(interlock_in, project(tmp_path, text, rule))["verdict"] == "pass"


def test_without_routes_nobody_can_say_who_is_woken(interlock_in: Interlock, tmp_path: Path) -> None:
    text = settings((FAILED, "bad"), (FINE, "good")).replace('alertmanager = "alertmanager.yml"\n', "")
    told = drilled(interlock_in, project(tmp_path, text, alert("HighErrorRate", ERROR_RATE)))

    assert told["verdict"] == "unknown"
    assert "whom it wakes is not known" in told["answer"]


def test_without_promtool_it_is_unknown(interlock_in: Interlock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = project(tmp_path, settings((FAILED, "bad")), alert("HighErrorRate", ERROR_RATE))
    monkeypatch.setenv("PATH", str(tmp_path))
    ran = interlock_in("drill", folder=folder)

    assert ran.code == 3
    assert "no promtool on this machine" in ran.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("of = 'bad'", "of = 'bda'"), "did you mean 'bad'?"),
        (('"payment-retry-queue"', '"payment-retry-qeue"'), "did you mean 'payment-retry-queue'?"),
        (("rules/*.yml", "rule/*.yml"), "no alert in rule/*.yml (0 files)"),
        (('"alertmanager.yml"', '"alert.yml"'), "there is no such file"),
        (('incident = "payment-retry-queue"', ""), "needs an incident, or falls_to and per_s"),
        (("pagers", "pager"), "did you mean 'pagers'?"),
        (("rules/*.yml", "/etc/rules/*.yml"), "expected a glob below the project"),
        (("rules/*.yml", "../rules/*.yml"), "expected a glob below the project"),
        (('"payment-retry-queue"', '"../incident.toml"'), "expected a path below the project"),
    ],
)
def test_what_is_declared_wrong_is_told_with_its_place(
    interlock_in: Interlock, tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    text = settings((FAILED, "bad")).replace(*change)
    ran = interlock_in("drill", folder=project(tmp_path, text, alert("HighErrorRate", ERROR_RATE)))

    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_rules_that_prometheus_does_not_read_are_unknown_in_its_own_words(interlock_in: Interlock, tmp_path: Path) -> None:
    ran = interlock_in("drill", folder=project(tmp_path, settings((FAILED, "bad")), alert("Broken", "rate(")))

    assert ran.code == 3
    assert "promtool cannot try the rules" in ran.err
    assert "parse error" in ran.err


class TestTheGate:
    """The question is answered anew each time: by the drill of the base, on the rules of the change."""

    def begun(self, git: Git, text: str) -> None:
        project(git.root, text, alert("HighErrorRate", ERROR_RATE))
        git.write({"shop/pay.py": "def pay():\n    return 1\n"})
        git.commit()
        git("checkout", "--quiet", "-b", "change")
        git.write({"shop/pay.py": "def pay():\n    return 2\n"})

    def test_an_alert_that_wakes_somebody_is_a_pass(self, interlock_in: Interlock, git: Git) -> None:
        self.begun(git, settings((FAILED, "bad"), (FINE, "good")))
        git.commit()

        assert answer_to("alerts", interlock_in, git)["verdict"] == "pass"

    def test_a_change_that_takes_the_alert_away_closes_it(self, interlock_in: Interlock, git: Git) -> None:
        self.begun(git, settings((FAILED, "bad"), (FINE, "good")))
        quiet = {"groups": [{"name": "shop", "rules": [alert("HighErrorRate", "vector(0) > 1")]}]}
        git.write({"rules/shop.yml": json.dumps(quiet)})
        git.commit()

        found = answer_to("alerts", interlock_in, git)
        assert (found["verdict"], found["answer"]) == ("fail", "payments: none of 1 alert fires")

    def test_a_change_that_makes_the_incident_another_one_is_drilled_on_that_of_the_base(
        self, interlock_in: Interlock, git: Git
    ) -> None:
        course = "story = 'few'\nper_s = 420.0\ncourse = [{{ at_s = 0, success = 1.0 }}, {{ at_s = 3600, success = {} }}]\n"
        git.write({"mild.toml": course.format(0.99)})
        self.begun(git, settings((FAILED, "bad"), (FINE, "good"), drill='incident = "mild.toml"'))
        git.write({"mild.toml": course.format(0.1)})
        git.commit()

        found = answer_to("alerts", interlock_in, git)
        assert (found["verdict"], found["answer"]) == ("fail", "payments: none of 1 alert fires")

    def test_a_feature_without_a_drill_is_unknown(self, interlock_in: Interlock, git: Git) -> None:
        text = settings((FAILED, "bad")).replace('feature = "payments"', 'feature = "sign-up"')
        self.begun(git, text)
        git.commit()

        found = answer_to("alerts", interlock_in, git)
        assert (found["verdict"], found["answer"]) == ("unknown", "payments: no [[drill]] is declared for it")

    @pytest.mark.parametrize(
        ("pagers", "verdict", "told"),
        [
            ("", "pass", "payments: which receivers wake the payments team is not declared (pagers), so any pager counts"),
            ('pagers = ["pagerduty-*"]', "pass", ""),
            ('pagers = ["pagerduty-payments"]', "fail", ""),
        ],
    )
    def test_it_holds_the_routes_against_who_is_on_call(
        self, interlock_in: Interlock, git: Git, pagers: str, verdict: str, told: str
    ) -> None:
        text = settings((FAILED, "bad"), (FINE, "good"))
        self.begun(git, text.replace('paths = ["shop/**"]', f'paths = ["shop/**"]\non_call = "the payments team"\n{pagers}'))
        git.commit()
        found = answer_to("alerts", interlock_in, git)
        assert found["verdict"] == verdict
        assert (found["evidence"][-1] == told) == bool(told)
