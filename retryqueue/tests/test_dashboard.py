"""The dashboard and the alerts: what they ask for is exported, what is exported is shown, each alert fires on its trouble."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from retryqueue import Payment, Policy, RetryQueue, protocol
from retryqueue.events import BreakerMoved
from retryqueue.prometheus import DepthCollector, PrometheusHook
from retryqueue.server import Server

if TYPE_CHECKING:
    from servers import RedisServer

try:
    import prometheus_client
except ImportError:
    pytest.skip("the dashboard is not tested: prometheus_client is not installed", allow_module_level=True)

DASHBOARDS = Path(__file__).parents[1] / "dashboards"
DASHBOARD: dict[str, Any] = json.loads((DASHBOARDS / "retryqueue.json").read_text())
ALERTS = DASHBOARDS / "alerts.yml"
# Exported, and on no panel: when a counter was made. prometheus_client adds it to each.
LEFT_OUT = re.compile(r"retryqueue_\w+_created")
PANELS = {
    "Enqueued by answer": {"retryqueue_enqueued_total"},
    "Attempts by outcome": {"retryqueue_attempts_total"},
    "Attempt latency": {"retryqueue_attempt_seconds_bucket"},
    "Payments by state": {"retryqueue_payments"},
    "Lag": {"retryqueue_lag_seconds"},
    "Dead letters and reconcile": {"retryqueue_payments"},
    "Lost leases": {"retryqueue_leases_lost_total"},
    "Circuit breakers open": {"retryqueue_breaker_open"},
}


def queries(panel: dict[str, Any]) -> str:
    return "\n".join(target["expr"] for target in panel["targets"])


def names(text: str) -> set[str]:
    return set(re.findall(r"\bretryqueue_\w+", text))


def shown() -> set[str]:
    return set().union(*(names(queries(panel)) for panel in DASHBOARD["panels"]))


def without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def promtool() -> str:
    """The program that checks rules; without it this is not tested, and said so."""
    found = shutil.which("promtool")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("promtool is missing: apt-get install prometheus")
        pytest.skip("not run: promtool is missing (apt-get install prometheus), so queries and alerts are only read as text")
    return found


def checked(*arguments: str) -> None:
    done = subprocess.run([promtool(), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def exported(queue: RetryQueue, server: RedisServer) -> dict[str, set[str]]:
    """Every sample that hook and collector export, with its labels. There is a lease, so that none is missing."""
    registry = prometheus_client.CollectorRegistry()
    PrometheusHook(registry)(BreakerMoved(is_open=False))
    registry.register(DepthCollector(queue))
    fields = {"user_id": "u", "amount_minor": 1, "currency": "EUR", "payment_method_id": "pm"}
    queue.enqueue(Payment.from_fields("order-1", fields))
    talking = Server(server.url, patience_s=5, connections=1)
    shard = talking.carry(queue.operations.shards())[0]
    talking.carry(queue.operations.ask(protocol.claim(shard, Policy(), "worker-1", "1", 1)))
    talking.close()
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    return {sample.name: {*sample.labels} for sample in samples}


def test_every_metric_that_the_dashboard_asks_for_is_exported(exported: dict[str, set[str]]) -> None:
    variables = names(json.dumps(DASHBOARD["templating"]))
    assert shown() | variables
    assert (shown() | variables) - exported.keys() == set()


def test_every_metric_that_is_exported_is_shown_or_left_out_on_purpose(exported: dict[str, set[str]]) -> None:
    assert {name for name in exported if not LEFT_OUT.fullmatch(name)} - shown() == set()


def test_every_metric_that_the_alerts_ask_for_is_exported(exported: dict[str, set[str]]) -> None:
    asked = names(without_comments(ALERTS.read_text()))
    assert asked
    assert asked - exported.keys() == set()


def test_every_label_that_is_asked_for_is_one_of_its_metric(exported: dict[str, set[str]]) -> None:
    text = "\n".join(queries(panel) for panel in DASHBOARD["panels"]) + ALERTS.read_text()
    asked = re.findall(r"(retryqueue_\w+)\{([^}]*)\}", text)
    assert asked
    for name, matchers in asked:
        assert set(re.findall(r"(\w+)\s*[=!]~?", matchers)) <= exported[name], name


def test_the_dashboard_has_the_panels_that_an_operator_needs() -> None:
    panels = {panel["title"]: panel for panel in DASHBOARD["panels"]}
    for title, metrics in PANELS.items():
        assert metrics <= names(queries(panels[title])), title
    latency = queries(panels["Attempt latency"])
    assert "histogram_quantile(0.5," in latency
    assert "histogram_quantile(0.99," in latency


def test_the_dashboard_names_its_data_source_by_a_variable_and_places_each_panel_once() -> None:
    assert [variable["type"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "query"]
    wanted = {"type": "prometheus", "uid": "${datasource}"}
    places: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert panel["datasource"] == wanted
        assert all(target["datasource"] == wanted for target in panel["targets"])
        assert panel["description"]
        place = panel["gridPos"]
        covered = {
            (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
        }
        assert not covered & places
        assert place["x"] + place["w"] <= 24
        places |= covered
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert DASHBOARD["schemaVersion"] == 42


def test_prometheus_can_read_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules: list[dict[str, str]] = []
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "5m").replace("$queue", ".*")
            rules.append({"record": f"panel:{panel['id']}:{target['refId']}", "expr": query})
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML.
    checked("check", "rules", str(file))


def test_prometheus_can_read_the_alerts() -> None:
    checked("check", "rules", str(ALERTS))


def test_the_alerts_name_what_they_are_about() -> None:
    text = ALERTS.read_text()
    assert text.count("- alert:") == text.count("severity:") == text.count("summary:") == text.count("description:")
    for name in ("DeadLettersGrow", "ReconcileNotEmpty", "Lags", "NoWorker", "QuarantineNotEmpty", "ServerDoesNotAnswer"):
        assert f"- alert: RetryQueue{name}\n" in text


HEALTHY = {
    'retryqueue_up{queue="payments"}': "1x200",
    'retryqueue_payments{queue="payments",state="dead"}': "3x200",
    'retryqueue_payments{queue="payments",state="reconcile"}': "0x200",
    'retryqueue_payments{queue="payments",state="quarantined"}': "0x200",
    'retryqueue_lag_seconds{queue="payments"}': "2x200",
    'retryqueue_workers{queue="payments"}': "4x200",
}
# For each alert: the series that are not healthy (one value a minute), a minute before it fires and one at which it does.
TROUBLES: dict[str, tuple[dict[str, str], int, int]] = {
    "RetryQueueDeadLettersGrow": ({'retryqueue_payments{queue="payments",state="dead"}': "3x60 4x140"}, 60, 62),
    "RetryQueueReconcileNotEmpty": ({'retryqueue_payments{queue="payments",state="reconcile"}': "0x9 1x190"}, 65, 71),
    "RetryQueueLags": ({'retryqueue_lag_seconds{queue="payments"}': "0+60x200"}, 5, 8),
    "RetryQueueNoWorker": ({'retryqueue_workers{queue="payments"}': "2x9 0x190"}, 11, 13),
    "RetryQueueQuarantineNotEmpty": ({'retryqueue_payments{queue="payments",state="quarantined"}': "0x9 1x190"}, 9, 10),
    "RetryQueueServerDoesNotAnswer": ({'retryqueue_up{queue="payments"}': "1x9 0x190"}, 10, 12),
}


def rule_test(tmp_path: Path, series: dict[str, str], asked: list[tuple[str, int, bool]], **labels: str) -> None:
    """Runs the alerts over these series; each question is an alert, a minute, and whether it fires then.

    The texts of the alerts are left away: a test that repeats them proves nothing.
    """
    questions = [
        {
            "alertname": name,
            "eval_time": f"{minute}m",
            "exp_alerts": [{"exp_labels": {"severity": severity_of(name), **labels}}] if fires else [],
        }
        for name, minute, fires in asked
    ]
    given = [{"series": name, "values": " ".join(map(expanded, values.split()))} for name, values in series.items()]
    test = {"interval": "1m", "input_series": given, "alert_rule_test": questions}
    document = {"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "alerts.yml").write_text(re.sub(r"\n +annotations:\n(?: {10}.*\n)+", "\n", ALERTS.read_text()))
    (tmp_path / "test.yml").write_text(json.dumps(document))
    checked("test", "rules", str(tmp_path / "test.yml"))


def expanded(values: str) -> str:
    """`3x60` in promtool's own form: one value and 60 more like it; `_x60` are none."""
    return values if "+" in values or values.startswith("_") else values.replace("x", "+0x")


def severity_of(alert: str) -> str:
    found = re.search(rf"- alert: {alert}\n.*?severity: (\w+)", ALERTS.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("alert", TROUBLES)
def test_each_alert_fires_on_its_trouble_and_not_before(alert: str, tmp_path: Path) -> None:
    series, quiet, loud = TROUBLES[alert]
    rule_test(tmp_path, HEALTHY | series, [(alert, quiet, False), (alert, loud, True)], queue="payments")


def test_no_alert_fires_on_a_healthy_queue(tmp_path: Path) -> None:
    rule_test(tmp_path, HEALTHY, [(alert, 120, False) for alert in [*TROUBLES, "RetryQueueNotMeasured"]])


def test_an_alert_fires_when_nobody_measures_any_more(tmp_path: Path) -> None:
    gone = {'retryqueue_up{queue="payments"}': "1x9 _x190"}
    rule_test(tmp_path, gone, [("RetryQueueNotMeasured", 9, False), ("RetryQueueNotMeasured", 25, True)])
