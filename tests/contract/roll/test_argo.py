"""The judge that Argo asks: fed by a real Prometheus, asked as Argo's web provider asks, killed and started again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interlock.core.yaml_files import documents
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Interlock

STABLE, CANARY = "5d4f8c7b9", "7c6d5b4a8"
WITHIN_S = 40.0


class Pods:
    """Two versions that count their requests, an exporter for Prometheus in front of them. Each scrape finds more."""

    def __init__(self) -> None:
        self.failing = {STABLE: 0.02, CANARY: 0.02}
        self.counted = {STABLE: [0.0, 0.0], CANARY: [0.0, 0.0]}
        self.began_s = time.monotonic()
        pods = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = pods.told().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def told(self) -> str:
        """The counters; 900 requests a second on the stable side and 100 on the other."""
        now_s = time.monotonic()
        elapsed_s, self.began_s = now_s - self.began_s, now_s
        for name, per_s in ((STABLE, 900.0), (CANARY, 100.0)):
            self.counted[name][0] += per_s * elapsed_s
            self.counted[name][1] += per_s * elapsed_s * self.failing[name]
        rows = [
            f'{metric}{{hash="{name}"}} {int(self.counted[name][place])}'
            for place, metric in enumerate(("requests_total", "failures_total"))
            for name in (STABLE, CANARY)
        ]
        return "\n".join(["# TYPE requests_total counter", "# TYPE failures_total counter", *rows, ""])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def pods() -> Iterator[Pods]:
    there = Pods()
    yield there
    there.close()


@pytest.fixture
def prometheus(pods: Pods, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    program = shutil.which("prometheus")
    if program is None:
        message = "NOT RUN: no prometheus on this machine (make servers)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    port = free_port()
    config = tmp_path / "prometheus.json"
    scrape = {"job_name": "pods", "static_configs": [{"targets": [pods.address]}]}
    config.write_text(json.dumps({"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [scrape]}))
    options = [f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}"]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: ready(f"http://127.0.0.1:{port}/-/ready"))
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()


def ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=WITHIN_S) as answer:  # noqa: S310 - our own server.
            return bool(answer.status == 200)
    except OSError:
        return False


def until(holds: Callable[[], object], within_s: float = WITHIN_S) -> None:
    ends_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends_s, "it did not come true"
        time.sleep(0.2)


def settings(prometheus_url: str, port: int) -> str:
    return f"""
[roll]
stale_abort_s = 6.0
[[roll.metric]]
name = "failures"
kind = "failures"
tolerance = 4.0
[[roll.step]]
share = 0.1
bake_s = 5

[roll.argo]
name = "shop"
image = "shop@sha256:{"0" * 64}"
traffic = "istio"
interval_s = 0.5
engine_url = "http://127.0.0.1:{port}"
prometheus_url = "{prometheus_url}"
requests = 'sum(requests_total{{hash="{{hash}}"}})'
[[roll.argo.query]]
metric = "failures"
events = 'sum(failures_total{{hash="{{hash}}"}})'
"""


class Controller:
    """Argo's side: the templates that were rendered, with their arguments filled in, asked as its web provider asks.

    Source: metricproviders/webmetric/webmetric.go. A GET without a body; any 2xx is read as JSON; the JSONPath has it.
    """

    def __init__(self, templates: list[dict[str, Any]]) -> None:
        self.webs = {one["metadata"]["name"]: one["spec"]["metrics"][0]["provider"]["web"] for one in templates}

    def measured(self, name: str, step: int | None = None) -> str:
        web = self.webs[name]
        url = web["url"].replace("{{args.canary-hash}}", CANARY).replace("{{args.stable-hash}}", STABLE)
        url = url.replace("{{args.step}}", str(step))
        assert "{{" not in url
        assert web["jsonPath"] == "{$.result}"
        headers = {"User-Agent": "Go-http-client/1.1", "Accept-Encoding": "gzip"}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - our own server.
        with urllib.request.urlopen(request, timeout=web["timeoutSeconds"]) as answer:  # noqa: S310 - likewise.
            assert 200 <= answer.status < 300
            return str(json.load(answer)["result"])


@contextmanager
def judging(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`interlock roll argo serve` as a process of its own."""
    command = [sys.executable, "-m", "interlock", "roll", "argo", "serve", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    try:
        until(lambda: ready(f"http://127.0.0.1:{port}/healthz"))
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def controller(interlock_in: Interlock, tmp_path: Path, prometheus: tuple[str, Any]) -> tuple[Controller, int]:
    port = free_port()
    (tmp_path / "interlock.toml").write_text(settings(prometheus[0], port))
    ran = interlock_in("roll", "argo", "render", folder=tmp_path)
    assert ran.code == 0, ran.err
    objects = documents("rendered", ran.out.encode())
    return Controller([one for one in objects if one["kind"] == "AnalysisTemplate"]), port


def test_a_healthy_canary_is_promoted_and_one_that_fails_is_not_even_after_the_judge_was_killed(
    controller: tuple[Controller, int], pods: Pods, tmp_path: Path
) -> None:
    argo, port = controller
    with judging(tmp_path, port):
        assert argo.measured("shop-begin", 0) == "undecided"
        assert argo.measured("shop-promote", 0) == "undecided"
        until(lambda: argo.measured("shop-promote", 0) == "healthy")
        assert argo.measured("shop-watch") == "undecided"
        pods.failing[CANARY] = 0.6
        until(lambda: argo.measured("shop-watch") == "regressed")
    with judging(tmp_path, port) as process:
        assert argo.measured("shop-watch") == "regressed"
        assert argo.measured("shop-promote", 0) == "regressed"
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN_S) == 0


def test_without_news_nothing_is_promoted_and_in_the_end_it_is_stopped(
    controller: tuple[Controller, int], prometheus: tuple[str, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    argo, port = controller
    with judging(tmp_path, port):
        argo.measured("shop-begin", 0)
        until(lambda: argo.measured("shop-promote", 0) == "healthy")
        prometheus[1].kill()
        until(lambda: argo.measured("shop-promote", 0) == "undecided")
        until(lambda: argo.measured("shop-watch") == "regressed")


def test_what_argo_could_not_mean_is_refused_so_that_it_counts_as_an_error(
    controller: tuple[Controller, int], tmp_path: Path
) -> None:
    _, port = controller
    wrong = [
        "v1/rollouts/other/watch?canary=a&stable=b",
        "v1/rollouts/shop/wacth?canary=a&stable=b",
        'v1/rollouts/shop/watch?canary=a"}&stable=b',
        "v1/rollouts/shop/watch?canary=../x&stable=b",
        "v1/rollouts/shop/promote?canary=a&stable=b",
        "v1/rollouts/shop/promote?canary=a&stable=b&step=9",
    ]
    with judging(tmp_path, port):
        for path in wrong:
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=WITHIN_S)
            assert refused.value.code in {400, 404}, path
            refused.value.close()
    assert not list((tmp_path / ".interlock" / "argo").glob("*.json"))


@pytest.mark.skipif(
    "INTERLOCK_ARGO_CRDS" not in os.environ, reason="NOT RUN: INTERLOCK_ARGO_CRDS names no folder of Argo's CRDs"
)
def test_what_is_rendered_holds_against_argo_s_own_crds(interlock_in: Interlock, tmp_path: Path) -> None:
    (tmp_path / "interlock.toml").write_text(settings("http://prometheus:9090", 8700))
    (tmp_path / "all.yaml").write_text(interlock_in("roll", "argo", "render", folder=tmp_path).out)
    folder = Path(os.environ["INTERLOCK_ARGO_CRDS"])
    crds = [str(folder / f"{name}.yaml") for name in ("rollout", "analysis-template")]
    lint = ("roll", "argo", "lint", "all.yaml", "--crds", *crds)

    assert interlock_in(*lint, folder=tmp_path).code == 0
    text = (tmp_path / "all.yaml").read_text()
    (tmp_path / "all.yaml").write_text(text.replace("setWeight: 10", "setWeight: '10'").replace("startingStep", "startStep"))
    found = interlock_in(*lint, folder=tmp_path)
    assert found.code == 1
    assert "'10' is not of type 'integer'" in found.out
    assert "'startStep' was unexpected" in found.out
